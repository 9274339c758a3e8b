//go:build !race

package sidecar_test

// raced: the race detector makes everything several times slower.
const raced = false
