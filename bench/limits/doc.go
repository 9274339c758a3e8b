// Package limits measures package ratelimit beside other limiters, which the
// module of the project itself does not depend on. All of it is in its tests.
package limits
