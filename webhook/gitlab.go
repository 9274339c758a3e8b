package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"time"
)

// gitlabSpec knows both ways of GitLab: a signing token, whose signatures are
// those of Standard Webhooks, and the older secret token, which is sent along
// as it is and vouches for no byte of the message. GitLab disables a webhook
// whose deliveries fail in a row, and took a 4xx for lasting in versions that
// are still in use, so what is refused is answered 503.
func gitlabSpec() spec {
	src := mustSources("header:Idempotency-Key", "header:X-Gitlab-Event")
	return spec{
		Provider: Provider{
			Name:          "gitlab",
			Signed:        "id.timestamp.body with a signing token; nothing with a secret token",
			IDSource:      "header:Idempotency-Key",
			Deadline:      10 * time.Second,
			Timeout:       8 * time.Second,
			Tolerance:     defaultTolerance,
			RefusalStatus: 503,
			Docs:          "https://docs.gitlab.com/user/project/integrations/webhooks/",
		},
		sources: sources{id: src[0], typ: src[1]},
		missing: missingDigest, // GitLab before 17.4
		build: func(cfg *VerifierConfig, signs bool, bad func(field, reason string)) scheme {
			return newGitLab(cfg.Secrets, signs, bad)
		},
	}
}

// gitlab judges by a signature where there is one and a signing token is
// configured: such a message never falls back to its secret token.
type gitlab struct {
	signed      standard
	signedAt    []int // the position of each key among the secrets
	tokens      [][sha256.Size]byte
	tokensAt    []int
	first       string // the first secret, for signing
	firstSigned bool
}

func newGitLab(secrets []string, signs bool, bad func(field, reason string)) *gitlab {
	g := &gitlab{}
	for i, secret := range secrets {
		if !strings.HasPrefix(secret, symmetricPrefix) {
			// Digests are compared, so that not even a length shows.
			g.tokens, g.tokensAt = append(g.tokens, sha256.Sum256([]byte(secret))), append(g.tokensAt, i)
			continue
		}
		key, problem := parseStandardKey(secret, signs)
		if problem != "" {
			bad(secretField(i), problem)
		}
		g.signed.keys, g.signedAt = append(g.signed.keys, key), append(g.signedAt, i)
	}
	if signs && len(secrets) > 0 {
		g.first, g.firstSigned = secrets[0], strings.HasPrefix(secrets[0], symmetricPrefix)
	}
	return g
}

const gitlabToken = "X-Gitlab-Token" //nolint:gosec // the name of a header

func (g *gitlab) judge(m Message) (judgement, error) {
	if len(g.signedAt) > 0 && len(m.Header[standardFamilies()[0].signature]) > 0 {
		j, err := g.signed.judge(m)
		if err == nil {
			j.secret = g.signedAt[j.secret]
		}
		return j, err
	}
	if len(g.tokens) == 0 {
		return judgement{}, ErrNoSignature
	}
	token, err := one(m.Header, gitlabToken)
	if err != nil {
		return judgement{}, err
	}
	got := sha256.Sum256([]byte(token))
	for i := range g.tokens {
		if subtle.ConstantTimeCompare(got[:], g.tokens[i][:]) == 1 {
			return judgement{secret: g.tokensAt[i], bodyUnsigned: true}, nil
		}
	}
	return judgement{}, ErrSignatureMismatch
}

func (g *gitlab) sign(m Message, set func(name, value string)) error {
	if !g.firstSigned {
		set(gitlabToken, g.first)
		return nil
	}
	id := source{header: "Idempotency-Key"}.inHeader(m.Header)
	if id == "" {
		id = digestID(string(m.Body))
	}
	m.Header.Del(standardFamilies()[1].id)
	m.Header.Set(standardFamilies()[0].id, id)
	return g.signed.sign(m, set)
}
