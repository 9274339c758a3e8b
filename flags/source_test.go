package flags_test

import (
	"context"
	"testing"

	"github.com/handrail-go/handrail/flags"
)

// source is a Source whose versions a test delivers one by one.
type source struct {
	first   string
	updates chan update
}

type update struct {
	data string
	err  error
	done chan struct{}
}

func newSource(first string) *source { return &source{first: first, updates: make(chan update)} }

func (s *source) Load(context.Context) (flags.Document, error) {
	return flags.Document{Name: "flags.yaml", Data: []byte(s.first)}, nil
}

func (s *source) Watch(ctx context.Context, tell func(flags.Document, error)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case u := <-s.updates:
			tell(flags.Document{Name: "flags.yaml", Data: []byte(u.data)}, u.err)
			close(u.done)
		}
	}
}

// client is a running Client on s, stopped at the end of the test.
func (s *source) client(t *testing.T, cfg flags.Config) *flags.Client {
	t.Helper()
	cfg.Source = s
	c, err := flags.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, c)
	return c
}

// run follows the client's source until the end of the test.
func run(t *testing.T, c *flags.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// deliver returns when the client has dealt with a version.
func (s *source) deliver(t *testing.T, data string) { t.Helper(); s.send(update{data: data}) }

func (s *source) fail(t *testing.T, err error) { t.Helper(); s.send(update{err: err}) }

func (s *source) send(u update) {
	u.done = make(chan struct{})
	s.updates <- u
	<-u.done
}
