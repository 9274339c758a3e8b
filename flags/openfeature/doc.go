// Package openfeature is a provider for the OpenFeature SDK for Go
// (github.com/open-feature/go-sdk) on the flags of a [flags.Client]: a service
// asks through OpenFeature's API, and what answers is in the same process.
//
//	client, err := flags.New(ctx, flags.Config{Source: flags.File("flags.yaml")})
//	...
//	provider, err := openfeature.NewProvider(client, openfeature.Config{Run: true})
//	...
//	err = of.SetProviderAndWait(provider)
//
// # Values
//
// A flag with another value than was asked for is a TYPE_MISMATCH, with two
// exceptions among numbers: an integer may be asked for as a float, and a float
// without a fraction as an integer, where neither loses anything by it. An
// object is a mapping or a list.
//
// A flag that is off answers false, or its off variant. Where its definition has
// no value for that, the caller's default counts, with reason DEFAULT. A flag
// with enabled: false answers the same, but always with reason DISABLED, and not
// with an error: a kill switch turns a flag off for a caller whose default is
// true as well.
//
// An error gives the caller's default, with reason ERROR and OpenFeature's code.
// Messages hold nothing of the evaluation context.
//
// # Evaluation context
//
// The targeting key is OpenFeature's, and must be a string of at most
// [flags.MaxTargetingKeyBytes], or it is INVALID_CONTEXT; without one, only flags
// that bucket are an error, TARGETING_KEY_MISSING. Attributes count for
// definitions whose rules look at them, such as flagd's. One that is none of
// JSON's types, nor an integer of Go's, is taken as encoding/json would write it;
// one that cannot be written so is INVALID_CONTEXT.
//
// # Events
//
//	PROVIDER_READY                  after Init, and when what made it stale is over
//	PROVIDER_CONFIGURATION_CHANGED  other definitions answer; FlagChanges are the keys
//	PROVIDER_STALE                  the source cannot be read, or what it holds is
//	                                refused: the last good definitions answer
//	PROVIDER_ERROR                  nothing follows the source any more, or there
//	                                are no definitions yet when Init has waited for
//	                                them long enough
//
// Flags go on to answer in each of these states, with what there is. Events come in their order.
// When nobody takes them for a while, changes are told together and states that
// are over are left out. EventMetadata has "version", that of the definitions
// which answer.
package openfeature
