package flaglint

import (
	"time"
)

// maxKeyBytes is the longest key that code may name; a longer one is shown cut.
const maxKeyBytes = 256

// Definitions is what one file defines. [Read] makes one.
type Definitions struct {
	// File is its name, as it stands in reports.
	File string
	// Flags may be in any order.
	Flags []Flag
	// Errors are mistakes for which the file would be refused. Flags do not
	// count then.
	Errors []Problem
	// Warnings are what is allowed but hardly meant.
	Warnings []Problem
}

// A Problem is one of a definition file.
type Problem struct {
	Line, Column int // from 1; both 0 for the file as a whole
	Message      string
}

// A Flag is one definition, as far as the rules look at it.
type Flag struct {
	Key          string
	Line, Column int // of the key, from 1

	// Settled says what everybody gets, for instance "is at 100 %". It is empty
	// while users differ.
	Settled string
	// Deciding are the lines of which a change can change what users get. They
	// tell since when it has been Settled.
	Deciding []Lines

	// Created and Expires are days, midnight UTC; zero when not given.
	Created time.Time
	Expires time.Time
	// AtExpiry says what an expired flag does, for instance "is now off". It
	// is empty when it does as before.
	AtExpiry string
	// Owner may be empty.
	Owner string
	// Ignored says that a comment silences what is found about the flag.
	Ignored bool
}

// Lines are the lines First to Last of a file, from 1, both included.
type Lines struct{ First, Last int }

// expired reports whether the day of Expires has ended in UTC.
func (f *Flag) expired(now time.Time) bool {
	return !f.Expires.IsZero() && !now.Before(f.Expires.AddDate(0, 0, 1))
}
