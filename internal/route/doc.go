// Package route cleans request paths and matches them against patterns. What
// a pattern matched is what the upstream gets: the sidecar cleans a path once
// (Clean), and rules match the cleaned form.
package route
