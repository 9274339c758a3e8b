// Package sidecar is the reverse proxy handrail: its configuration (Load), its
// assembly from the public packages (build) and its life from start to drain
// (Run). Nothing that a Go service could use by itself lives here.
package sidecar
