// Package ratelimit limits requests by subject with exact sliding windows: at
// most N in any window, wherever the window starts, and an exact Retry-After.
package ratelimit
