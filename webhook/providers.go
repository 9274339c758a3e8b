package webhook

// specs are the providers, in the order of the documentation.
func specs() []spec {
	return []spec{
		stripeSpec(), standardSpec(), githubSpec(), slackSpec(), shopifySpec(), hmacSpec(),
		gitlabSpec(), paddleSpec(), linearSpec(), discordSpec(), sendgridSpec(), squareSpec(), twilioSpec(),
	}
}

// Providers lists what [NewVerifier] and [NewSigner] know: per provider its
// signature, where the id of an event comes from, and how it delivers. Figures
// are what providers document; where pages disagree it is the safer one.
func Providers() []Provider {
	var all []Provider
	for _, s := range specs() {
		all = append(all, s.Provider)
	}
	return all
}

// ProviderNamed returns the entry of Providers with a name.
func ProviderNamed(name string) (Provider, bool) {
	s, ok := specOf(name)
	return s.Provider, ok
}

func specOf(name string) (spec, bool) {
	for _, s := range specs() {
		if s.Name == name {
			return s, true
		}
	}
	return spec{}, false
}

func providerNames() []string {
	var names []string
	for _, s := range specs() {
		names = append(names, s.Name)
	}
	return names
}
