package ofrep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/ofrep"
)

// pushed is a source whose documents the test hands over.
type pushed struct {
	first     string
	documents chan string
	taken     chan struct{}
}

func (p *pushed) Load(context.Context) (flags.Document, error) {
	return flags.Document{Name: "flags.yaml", Data: []byte(p.first)}, nil
}

func (p *pushed) Watch(ctx context.Context, update func(flags.Document, error)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case text := <-p.documents:
			update(flags.Document{Name: "flags.yaml", Data: []byte(text)}, nil)
			p.taken <- struct{}{}
		}
	}
}

// unreachable is a source that is not there.
type unreachable struct{}

func (unreachable) Load(context.Context) (flags.Document, error) {
	return flags.Document{}, errors.New("secret of the network")
}

func (unreachable) Watch(ctx context.Context, _ func(flags.Document, error)) error {
	<-ctx.Done()
	return nil
}

func TestClientsAreToldToComeBackUntilThereAreDefinitions(t *testing.T) {
	client, err := flags.New(t.Context(), flags.Config{Source: unreachable{}, AllowUnready: true})
	if err != nil {
		t.Fatal(err)
	}
	for wait, want := range map[time.Duration]string{0: "1", 1500 * time.Millisecond: "2", time.Minute: "60"} {
		h, err := ofrep.New(ofrep.Config{Client: client, RetryAfter: wait})
		if err != nil {
			t.Fatal(err)
		}
		for path, body := range map[string]string{
			"":   `{"errorCode":"GENERAL","errorDetails":"no definitions were loaded yet"}`,
			"/a": `{"key":"a","errorCode":"GENERAL","errorDetails":"no definitions were loaded yet"}`,
		} {
			w := post(h, path, "{}", "If-None-Match", "*")
			if w.Code != 503 || w.Header().Get("Retry-After") != want || w.Body.String() != body {
				t.Errorf("%v: %d %v %s", wait, w.Code, w.Header(), w.Body)
			}
		}
	}
}

// Each version has all flags on or all off, and each user's answer is of one
// version and one request, though buffers go from hand to hand.
func TestAnswersAreOfOneVersionAndOneUser(t *testing.T) {
	version := func(percentage int) string {
		var b strings.Builder
		for i := range 20 {
			fmt.Fprintf(&b, "flag-%02d: {rolloutPercentage: %d, metadata: {version: %d}}\n", i, percentage, percentage)
		}
		return b.String() + "nobody: {rolloutPercentage: 50}\n"
	}
	source := &pushed{first: version(0), documents: make(chan string), taken: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	client, err := flags.New(ctx, flags.Config{Source: source})
	if err != nil {
		t.Fatal(err)
	}
	var running, askers sync.WaitGroup
	running.Go(func() { _ = client.Run(ctx) })
	defer running.Wait()
	defer cancel()
	h, err := ofrep.New(ofrep.Config{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	for i := range 4 {
		askers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				// Without a targeting key the last flag is an error.
				body, want := user(fmt.Sprintf("user-%d-%d", i, n)), 21
				if n%2 == 0 {
					body, want = "{}", 20
				}
				got := post(h, "", body).Body.String()
				on, off, all := strings.Count(got, `"version":100`), strings.Count(got, `"version":0`), strings.Count(got, `"value":`)
				if on+off != 20 || on != 0 && off != 0 || all != want {
					t.Errorf("%d on, %d off, %d values: %s", on, off, all, got)
					return
				}
			}
		})
	}
	for i := range 50 {
		source.documents <- version(i % 2 * 100)
		<-source.taken
	}
	close(stop)
	askers.Wait()
}
