// Package redislimit keeps the exact sliding windows of package ratelimit in
// Redis, so that any number of instances share one count.
package redislimit
