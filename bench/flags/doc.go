// Package flags compares what flags/flagd decides with what flagd's own
// evaluator does, and how long both take. It is a module of its own, so that the
// project does not depend on flagd. See README.md.
package flags
