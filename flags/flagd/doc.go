// Package flagd reads and writes the flag definitions of flagd
// (https://flagd.dev): variants of any type, chosen by targeting rules in
// JSONLogic.
//
//	client, err := flags.New(ctx, flags.Config{
//		Source: flags.File("flags.flagd.json"),
//		Parse:  flagd.Parse,
//	})
//
// # Evaluation
//
// Answers, reasons and error codes are those of flagd's own evaluator, version
// 0.16:
//
//	state: DISABLED                          no value         DISABLED
//	no targeting                             defaultVariant   STATIC, without one no value, DEFAULT
//	targeting gives null                     defaultVariant   DEFAULT
//	targeting gives the name of a variant    that variant     TARGETING_MATCH
//	targeting gives anything else            no value         ERROR, GENERAL
//	targeting cannot be evaluated            no value         ERROR, PARSE_ERROR
//
// A boolean flag is on ([flags.Decision].On) where its value is true, any other
// where it has a variant.
//
// Rules see the attributes of the evaluation context, "targetingKey", and of
// "$flagd" the flagKey and the timestamp. Operators are those of JSONLogic that
// flagd's schema knows, and fractional, sem_ver, starts_with and ends_with.
// What flags meet most is compiled when the file is read; the rest is left to
// github.com/diegoholiveira/jsonlogic.
//
// Two things are not as in flagd, so that no evaluation context can hurt:
// what an attribute holds is never run as a rule, and an evaluation that would
// take very long ends with an error. What is left to the library, loops above
// all, may cost 400,000 steps in one evaluation, else it is not tried
// (INVALID_CONTEXT). With n values in the context (its attributes, the members and
// elements in them, and one more for every 32 bytes of text) and s in the rule,
// that is, for a loop, n + s(s+n) + n²/4 steps: about 1,200 values. For a loop in
// a loop it is n + s(s+n)² + n²/4: about 190 values with a rule of ten. A cat in
// such a rule makes 64 KiB at most, and a merge 100,000 elements; more is
// PARSE_ERROR. A cat outside of them makes 1 MiB at most.
//
// # Metadata
//
// Metadata of the file counts for each of its flags, under the flag's own. These
// entries also fill the [flags.Definition], where they have the form in
// parentheses: owner, description (text), created, expires (a day, such as
// 2027-01-31), onExpiry (keep, on, off), inject, public (true, false). They
// describe; only targeting decides.
package flagd
