// Package measure is what the programs below bench share: starting servers and
// ending them, reading what processes use, and telling medians with how far they
// reach.
package measure
