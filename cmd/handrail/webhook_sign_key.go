package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/handrail-go/handrail/webhook"
)

const maxKeyBytes = 64 << 10

// signingConfig has the secret to sign with in place of those to verify with. A
// public key is never taken for a private one, which may be as long.
func signingConfig(cfg webhook.VerifierConfig, keyFile string) (webhook.VerifierConfig, error) {
	if keyFile == "" {
		i := slices.IndexFunc(cfg.Secrets, func(s string) bool { return !isPublic(cfg.Provider, s) })
		if i < 0 {
			return cfg, &exitError{code: exitUsage, err: fmt.Errorf(
				"the configuration of the route has the public key of %s alone: name the private key with --key-file", cfg.Provider)}
		}
		cfg.Secrets = []string{cfg.Secrets[i]}
		return cfg, nil
	}
	data, err := readKey(keyFile)
	if err != nil {
		return cfg, &exitError{code: exitUsage, err: err}
	}
	key := strings.TrimSpace(string(data))
	if block, _ := pem.Decode(data); block != nil {
		if key, err = pemKey(cfg.Provider, block); err != nil {
			return cfg, &exitError{code: exitUsage, err: fmt.Errorf("%s: %w", keyFile, err)}
		}
	}
	cfg.Secrets = []string{key}
	return cfg, nil
}

func readKey(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err == nil && len(data) > maxKeyBytes {
		err = fmt.Errorf("%s is longer than a key", name)
	}
	return data, err
}

func isPublic(provider, secret string) bool {
	return provider == "discord" || provider == "sendgrid" || provider == "standard" && !strings.HasPrefix(secret, "whsec_")
}

// printsSecret reports whether the headers of a message hold the secret itself.
func printsSecret(cfg webhook.VerifierConfig) bool {
	return cfg.Provider == "gitlab" && !strings.HasPrefix(cfg.Secrets[0], "whsec_")
}

// pemKey is a key in the form that the signer of a provider takes.
func pemKey(provider string, block *pem.Block) (string, error) {
	if strings.Contains(block.Type, "PUBLIC") {
		return "", errors.New("holds a public key; the private one signs")
	}
	if provider == "sendgrid" {
		return base64.StdEncoding.EncodeToString(block.Bytes), nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	switch {
	case err != nil || !ok:
		return "", errors.New("holds no ed25519 key in PKCS #8")
	case provider == "discord":
		return hex.EncodeToString(key.Seed()), nil
	case provider == "standard":
		return "whsk_" + base64.StdEncoding.EncodeToString(key.Seed()), nil
	}
	return "", fmt.Errorf("holds a private key, but %s signs with a shared secret", provider)
}

// keyProblem says what is wrong with a key, without a piece of it.
func keyProblem(keyFile string, err error) error {
	problem, ok := errors.AsType[*webhook.ConfigError](err)
	if !ok || keyFile == "" {
		return &exitError{code: exitFailed, err: err}
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("%s: the key %s", keyFile, problem.Reason)}
}
