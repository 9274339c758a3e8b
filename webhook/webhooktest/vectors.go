package webhooktest

import (
	"net/http"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// Vector is a signed message that somebody else has published.
type Vector struct {
	Name string
	// Source is where it stands.
	Source string
	// Config is the verifier's; Signing is the secret that made the signature,
	// where it is another one than Config's and is published, too.
	Config  webhook.VerifierConfig
	Signing string
	// Message is valid at its Now.
	Message webhook.Message
	// Signature is the header of Message that Config's provider signs with.
	Signature string
}

// Vectors returns the published vectors. There are none of Stripe (its library
// brings a signer instead), Shopify, Linear, GitLab and Discord.
func Vectors() []Vector {
	var all []Vector
	for _, group := range [][]Vector{standardVectors(), bodyVectors(), datedVectors(), urlVectors()} {
		all = append(all, group...)
	}
	return all
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func standardVectors() []Vector {
	vector := func(name, source, prefix, secret, signature string) Vector {
		return Vector{
			Name: name, Source: source,
			Config: webhook.VerifierConfig{Provider: "standard", Secrets: []string{secret}},
			Message: webhook.Message{
				Header: headers(prefix+"Id", "msg_p5jXN8AQM9LWM0D4loKWxJek", prefix+"Timestamp", "1614265330", prefix+"Signature", signature),
				Body:   []byte(`{"test": 2432232314}`),
				Now:    time.Unix(1614265330, 0),
			},
			Signature: prefix + "Signature",
		}
	}
	const (
		library = "https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/go/webhook_test.go"
		svix    = "https://github.com/svix/svix-webhooks/blob/main/server/svix-server/src/worker.rs"
		secret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		v1      = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		v1a     = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
	)
	asymmetric := vector("standard v1a", svix, "Webhook-", "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", v1a)
	asymmetric.Signing = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	return []Vector{
		vector("standard v1", library, "Webhook-", secret, v1),
		vector("svix v1", svix, "Svix-", secret, v1),
		asymmetric,
	}
}

func bodyVectors() []Vector {
	return []Vector{{
		Name:   "github",
		Source: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation",
		Config: webhook.VerifierConfig{Provider: "github", Secrets: []string{"It's a Secret to Everybody"}},
		Message: webhook.Message{
			Header: headers("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
			Body:   []byte("Hello, World!"),
		},
		Signature: "X-Hub-Signature-256",
	}}
}

func datedVectors() []Vector {
	const (
		slackBody  = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
		paddleBody = `{"data":{"id":"pri_01hsdn96k2hxjzsq5yerecdj9j","name":null,"status":"active","quantity":{"maximum":999999,"minimum":1},"tax_mode":"account_setting","product_id":"pro_01hsdn8qp7yydry3x1yeg6a9rv","unit_price":{"amount":"1000","currency_code":"USD"},"custom_data":null,"description":"testing","import_meta":null,"trial_period":null,"billing_cycle":{"interval":"month","frequency":1},"unit_price_overrides":[]},"event_id":"evt_01hsdn97563968dy0szkmgjwh3","event_type":"price.created","occurred_at":"2024-03-20T10:07:35.590857Z","notification_id":"ntf_01hsdn977e920kbgzt6r6c9rqc"}`
	)
	return []Vector{{
		Name:   "slack",
		Source: "https://docs.slack.dev/authentication/verifying-requests-from-slack",
		Config: webhook.VerifierConfig{Provider: "slack", Secrets: []string{"8f742231b10e8888abcd99yyyzzz85a5"}},
		Message: webhook.Message{
			Header: headers("X-Slack-Request-Timestamp", "1531420618", "X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
			Body:   []byte(slackBody),
			Now:    time.Unix(1531420618, 0),
		},
		Signature: "X-Slack-Signature",
	}, {
		Name:   "paddle",
		Source: "https://github.com/PaddleHQ/paddle-go-sdk/blob/main/webhook_verifier_test.go",
		Config: webhook.VerifierConfig{Provider: "paddle", Secrets: []string{"pdl_ntfset_01hsdn8d43dt7mezr1ef2jtbaw_hKkRiCGyyRhbFwIUuqiTBgI7gnWoV0Gr"}},
		Message: webhook.Message{
			Header: headers("Paddle-Signature", "ts=1710929255;h1=6c05ef8fa83c44d751be6d259ec955ce5638e2c54095bf128e408e2fce1589c8"),
			Body:   []byte(paddleBody),
			Now:    time.Unix(1710929255, 0),
		},
		Signature: "Paddle-Signature",
	}, {
		Name:   "sendgrid",
		Source: "https://github.com/sendgrid/sendgrid-go/blob/main/helpers/eventwebhook/eventwebhook_test.go",
		Config: webhook.VerifierConfig{Provider: "sendgrid", Secrets: []string{"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA=="}},
		Message: webhook.Message{
			Header: headers("X-Twilio-Email-Event-Webhook-Timestamp", "1588788367", "X-Twilio-Email-Event-Webhook-Signature", "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH2j/0="),
			Body:   []byte(`{"category":"example_payload","event":"test_event","message_id":"message_id"}`),
			Now:    time.Unix(1588788367, 0),
		},
		Signature: "X-Twilio-Email-Event-Webhook-Signature",
	}}
}

func urlVectors() []Vector {
	const (
		library = "https://github.com/twilio/twilio-go/blob/main/client/request_validator_test.go"
		form    = "Digits=1234&CallSid=CA1234567890ABCDE&To=%2B18005551212&Caller=%2B14158675309&From=%2B14158675309"
		digest  = "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
		call    = "https://mycompany.com/myapp.php"
	)
	twilio := func(name, url, query, contentType, body, signature string) Vector {
		return Vector{
			Name: name, Source: library,
			Config: webhook.VerifierConfig{Provider: "twilio", Secrets: []string{"12345"}, PublicURL: url},
			Message: webhook.Message{
				Header:   headers("X-Twilio-Signature", signature, "Content-Type", contentType),
				Body:     []byte(body),
				RawQuery: query,
			},
			Signature: "X-Twilio-Signature",
		}
	}
	const formType, jsonBody = "application/x-www-form-urlencoded; charset=utf-8", `{"property": "value", "boolean": true}`
	return []Vector{
		{
			Name:   "square",
			Source: "https://developer.squareup.com/docs/webhooks/step3validate",
			Config: webhook.VerifierConfig{Provider: "square", Secrets: []string{"asdf1234"}, PublicURL: "https://example.com/webhook"},
			Message: webhook.Message{
				Header: headers("X-Square-Hmacsha256-Signature", "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og="),
				Body:   []byte(`{"hello":"world"}`),
			},
			Signature: "X-Square-Hmacsha256-Signature",
		},
		twilio("twilio form", call, "foo=1&bar=2", formType, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
		twilio("twilio form, a port", "http://mycompany.com:1234/myapp.php", "foo=1&bar=2", formType, form, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
		twilio("twilio body", call, "foo=1&bar=2&"+digest, "application/json", jsonBody, "a9nBmqA0ju/hNViExpshrM61xv4="),
		twilio("twilio body, no other parameter", call, digest, "application/json", jsonBody, "y77kIzt2vzLz71DgmJGsen2scGs="),
	}
}
