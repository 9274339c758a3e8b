package webhook

import (
	"crypto/ed25519"
	"encoding/hex"
	"time"
)

const (
	discordSignature = "X-Signature-Ed25519"
	discordTimestamp = "X-Signature-Timestamp"
)

// discordSpec: interactions have an id and are not repeated; webhook events
// have none and are repeated for ten minutes. Discord asks for 401 and tests
// with bad signatures that it is given.
func discordSpec() spec {
	src := mustSources("json:/id", "json:/event/type", "json:/type")
	return spec{
		Provider: Provider{
			Name:            "discord",
			SignatureHeader: discordSignature,
			Signed:          "timestamp.body",
			IDSource:        "json:/id",
			IDSigned:        true,
			Deadline:        3 * time.Second,
			Timeout:         2500 * time.Millisecond,
			RetryHorizon:    10 * time.Minute,
			Tolerance:       defaultTolerance,
			ReplayAnswers:   true,
			RefusalStatus:   401,
			AnswerUsed:      true,
			Docs:            "https://discord.com/developers/docs/interactions/overview#setting-up-an-endpoint",
		},
		sources: sources{id: src[0], typ: src[1], elseType: src[2]},
		missing: missingRepeats,
		build: func(cfg *VerifierConfig, signs bool, bad func(field, reason string)) scheme {
			return newDiscord(cfg.Secrets, signs, bad)
		},
	}
}

// discord is an ed25519 signature of the time and the body.
type discord struct {
	keys    []ed25519.PublicKey
	private ed25519.PrivateKey // for signing
}

func newDiscord(secrets []string, signs bool, bad func(field, reason string)) *discord {
	d := &discord{}
	for i, secret := range secrets {
		raw, err := hex.DecodeString(secret)
		if signs {
			key, problem := privateKey(raw)
			if err != nil || problem != "" {
				bad(secretField(i), "must be an ed25519 seed or private key in hexadecimal")
			} else if i == 0 {
				d.private = key
			}
			continue
		}
		if err != nil || len(raw) != ed25519.PublicKeySize {
			bad(secretField(i), "must be the public key, 64 hexadecimal digits")
		}
		d.keys = append(d.keys, raw)
	}
	return d
}

func (d *discord) judge(m Message) (judgement, error) {
	header, err := one(m.Header, discordSignature)
	if err != nil {
		return judgement{}, err
	}
	timestamp, err := companion(m.Header, discordTimestamp)
	if err != nil {
		return judgement{}, err
	}
	at, ok := unixSeconds(timestamp)
	got := candidates{size: ed25519.SignatureSize}
	if !ok || !got.addHex(header) || got.n == 0 {
		return judgement{}, ErrMalformedSignature
	}
	for i, key := range d.keys {
		if got.verify(key, timestamp, "", "", "", m.Body) {
			return judgement{secret: i, at: at}, nil
		}
	}
	return judgement{}, ErrSignatureMismatch
}

func (d *discord) sign(m Message, set func(name, value string)) error {
	at := formatUnix(m.Now)
	set(discordTimestamp, at)
	set(discordSignature, hex.EncodeToString(ed25519.Sign(d.private, joined(at, "", "", "", m.Body))))
	return nil
}
