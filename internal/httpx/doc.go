// Package httpx holds the few pieces of HTTP that several packages need: a
// response recorder, a bounded body reader, error answers and request ids.
// It uses the standard library alone.
package httpx
