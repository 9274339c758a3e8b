// Package flaglint holds code against definitions of feature flags: keys that
// code asks for and nobody defined, definitions that no code asks for, flags
// that have said the same to everybody for long, and flags past their end.
//
// Code is read by a tokenizer for each family of languages, which knows strings,
// comments and what is nested in either. It knows no types and resolves no
// imports: what it cannot tell it says, and never guesses.
package flaglint
