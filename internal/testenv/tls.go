package testenv

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a private certificate authority of one test.
type CA struct {
	// Roots holds its certificate alone.
	Roots *x509.CertPool

	// File is the certificate in PEM, as SSL_CERT_FILE names one.
	File string

	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

// NewCA makes a certificate authority that is valid for an hour.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{t: t, Roots: x509.NewCertPool(), File: filepath.Join(t.TempDir(), "ca.pem")}
	ca.key = ca.newKey()
	ca.cert = ca.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "testenv"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, ca.key.Public())
	ca.Roots.AddCert(ca.cert)
	ca.write(ca.File, "CERTIFICATE", ca.cert.Raw)
	return ca
}

// serverFiles writes a certificate for 127.0.0.1 and its key into dir.
func (ca *CA) serverFiles(dir string) (cert, key string) {
	ca.t.Helper()
	k := ca.newKey()
	c := ca.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, k.Public())
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		ca.t.Fatalf("testenv: %v", err)
	}
	cert, key = filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	ca.write(cert, "CERTIFICATE", c.Raw)
	ca.write(key, "PRIVATE KEY", der)
	return cert, key
}

func (ca *CA) newKey() *ecdsa.PrivateKey {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatalf("testenv: %v", err)
	}
	return key
}

// sign issues c, by itself as long as there is no certificate of the authority.
func (ca *CA) sign(c *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	ca.t.Helper()
	parent := ca.cert
	if parent == nil {
		parent = c
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key, ca.key)
	if err != nil {
		ca.t.Fatalf("testenv: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatalf("testenv: %v", err)
	}
	return cert
}

func (ca *CA) write(path, kind string, der []byte) {
	ca.t.Helper()
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: kind, Bytes: der}); err != nil {
		ca.t.Fatalf("testenv: %v", err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		ca.t.Fatalf("testenv: %v", err)
	}
}

// TLS makes the server speak TLS alone, with a certificate of ca for 127.0.0.1.
func TLS(ca *CA) RedisOption {
	return func(s *RedisServer) {
		cert, key := ca.serverFiles(s.dir)
		s.tls = &tls.Config{RootCAs: ca.Roots, MinVersion: tls.VersionTLS12}
		s.args = append(s.args, "--tls-cert-file", cert, "--tls-key-file", key,
			"--tls-ca-cert-file", ca.File, "--tls-auth-clients", "no")
	}
}
