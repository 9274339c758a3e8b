package webhook

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
)

// reading is another way to take a configured secret.
type reading struct {
	index  int    // of the secret
	secret string // as the provider's scheme takes it
	why    Finding
}

// secretName names a secret without a piece of it.
func secretName(i int) string { return "Secret " + strconv.Itoa(i) + " (counted from 0)" }

// trySecrets takes the secrets in other ways, all of them in one judgement.
func (s *search) trySecrets(m Message) bool {
	sc, all := s.readings()
	if len(all) == 0 {
		return false
	}
	s.tried(len(all), "readings of the secrets")
	j, ok, err := s.holds(sc, len(all), m)
	return ok && err == nil && s.foundReading(m, j, err, all)
}

func (s *search) foundReading(m Message, j judgement, err error, all []reading, how ...Finding) bool {
	r := all[j.secret]
	j.secret = r.index
	return s.found(m, j, err, append([]Finding{r.why}, how...)...)
}

// readings are those that the scheme takes, and the scheme with their keys.
func (s *search) readings() (scheme, []reading) {
	var all []reading
	for i, secret := range s.cfg.Secrets {
		for _, r := range readingsOf(s.spec.Name, secret) {
			r.index, r.why.Text = i, secretName(i)+" "+r.why.Text
			cfg := s.cfg
			cfg.Secrets = []string{r.secret}
			taken := r.secret != "" && r.secret != secret
			s.spec.build(&cfg, false, func(string, string) { taken = false })
			if taken {
				all = append(all, r)
			}
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	cfg := s.cfg
	cfg.Secrets = nil
	for _, r := range all {
		cfg.Secrets = append(cfg.Secrets, r.secret)
	}
	return s.spec.build(&cfg, false, func(string, string) {}), all
}

func readingsOf(provider, secret string) []reading {
	switch {
	case provider == "discord":
		raw, _ := hex.DecodeString(secret)
		return publicOf(raw, hex.EncodeToString)
	case provider == "sendgrid":
		return nil // what is no public key, the configuration refuses
	case strings.HasPrefix(secret, publicPrefix) && provider == "standard":
		raw, _ := decodeBase64(strings.TrimPrefix(secret, publicPrefix))
		return publicOf(raw, func(key []byte) string { return publicPrefix + base64.StdEncoding.EncodeToString(key) })
	case provider == "standard", provider == "gitlab" && strings.HasPrefix(secret, symmetricPrefix):
		return encodedReadings(secret)
	case provider == "gitlab":
		return textReadings(secret)
	}
	return append(textReadings(secret), decodedReadings(secret)...)
}

// publicOf reads a private key in the place of a public one.
func publicOf(raw []byte, encode func([]byte) string) []reading {
	if len(raw) != ed25519.SeedSize {
		return nil
	}
	public, _ := ed25519.NewKeyFromSeed(raw).Public().(ed25519.PublicKey)
	return []reading{{secret: encode(public), why: finding("secret_private",
		"is the private key, and the message is signed with it.",
		"Configure the public key, and replace the pair: a private key does not belong here.")}}
}

// textReadings are texts that were meant.
func textReadings(secret string) []reading {
	const copied = "Copy the secret again, without what stands around it."
	var all []reading
	bare := strings.Trim(secret, "\"'`")
	add := func(text, code, why, remedy string) {
		all = append(all, reading{secret: text, why: finding(code, why, remedy)})
	}
	add(bare, "secret_quoted", "is right without the quotes around it.", copied)
	add(strings.Trim(secret, "\uFEFF\u200B\u200C\u200D\u2060\u00A0"), "secret_whitespace", "is right without the invisible characters around it.", copied)
	for _, ending := range []string{"\n", "\r\n", " "} {
		add(secret+ending, "secret_whitespace", "is what the sender uses with white space after it, probably a newline.",
			"Have the sender read its secret without the newline at the end of its file or variable.")
	}
	return all
}

// decodedReadings are keys that a text may stand for, or the text a key.
func decodedReadings(secret string) []reading {
	const encoding = "Give the secret in the form in which the sender uses it."
	var all []reading
	add := func(text, code, why string) {
		all = append(all, reading{secret: text, why: finding(code, why, encoding)})
	}
	rest, prefixed := strings.CutPrefix(secret, symmetricPrefix)
	if prefixed {
		add(rest, "secret_prefix", "is right without its prefix "+symmetricPrefix+".")
	} else {
		add(symmetricPrefix+secret, "secret_prefix", "is right with the prefix "+symmetricPrefix+" before it.")
	}
	if raw, ok := anyBase64(rest); ok {
		why := "is right when it is decoded as base64"
		if prefixed {
			why += " after its prefix " + symmetricPrefix
		}
		add(string(raw), "secret_encoding", why+".")
	}
	if raw, err := hex.DecodeString(rest); err == nil {
		add(string(raw), "secret_encoding", "is right when it is decoded as hexadecimal.")
	}
	return all
}

// encodedReadings are those of a secret that is base64 after its prefix.
func encodedReadings(secret string) []reading {
	const form = "Give the key in the form in which the sender uses it: " + symmetricPrefix + " and the base64 of its bytes."
	var all []reading
	add := func(key, code, why string) {
		all = append(all, reading{secret: symmetricPrefix + base64.StdEncoding.EncodeToString([]byte(key)), why: finding(code, why, form)})
	}
	rest := strings.TrimPrefix(secret, symmetricPrefix)
	add(secret, "secret_encoding", "is what the sender uses as text, as it stands, prefix and all.")
	add(rest, "secret_encoding", "is what the sender uses as text after its prefix, without decoding it.")
	if raw, err := hex.DecodeString(rest); err == nil {
		add(string(raw), "secret_encoding", "is what the sender decodes as hexadecimal, not as base64.")
	}
	if raw, err := decodeBase64(rest); err == nil {
		add(string(raw)+"\n", "secret_whitespace", "is what the sender uses with a newline after it.")
		if twice, ok := anyBase64(string(raw)); ok {
			add(string(twice), "secret_encoding", "is encoded twice: it is right when it is decoded once more.")
		}
	}
	return all
}

// anyBase64 decodes either alphabet, with padding or without.
func anyBase64(s string) ([]byte, bool) {
	s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
	raw, err := base64.RawStdEncoding.DecodeString(s)
	return raw, err == nil && len(raw) > 0
}
