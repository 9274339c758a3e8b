// Package clientip tells which address a request came from when proxies
// stand in between. The client is the rightmost hop that is not a trusted
// proxy; nothing that an untrusted peer says is believed.
package clientip
