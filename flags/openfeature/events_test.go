package openfeature_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/flags/openfeature"
	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
)

// source is a Source whose versions a test delivers one by one. An empty
// version with an error that matches errBroken ends Watch.
type source struct {
	first   string // empty: Load fails
	updates chan update
}

type update struct {
	data string
	err  error
	done chan struct{}
}

var errBroken = errors.New("broken")

func (s *source) Load(context.Context) (flags.Document, error) {
	if s.first == "" {
		return flags.Document{Name: "flags.yaml"}, errors.New("not there yet")
	}
	return flags.Document{Name: "flags.yaml", Data: []byte(s.first)}, nil
}

func (s *source) Watch(ctx context.Context, tell func(flags.Document, error)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case u := <-s.updates:
			if errors.Is(u.err, errBroken) {
				close(u.done)
				return u.err
			}
			tell(flags.Document{Name: "flags.yaml", Data: []byte(u.data)}, u.err)
			close(u.done)
		}
	}
}

// deliver returns when the client has dealt with a version or a failure.
func (s *source) deliver(data string, err error) {
	u := update{data, err, make(chan struct{})}
	s.updates <- u
	<-u.done
}

func percent(n int) string {
	return fmt.Sprintf("{a: {rolloutPercentage: %d}, b: {rolloutPercentage: 1}}", n)
}

// following is a provider that runs a client on a source, and that client.
func following(t *testing.T) (*source, *flags.Client, *openfeature.Provider) {
	t.Helper()
	s := &source{first: percent(0), updates: make(chan update)}
	c, err := flags.New(context.Background(), flags.Config{Source: s})
	if err != nil {
		t.Fatal(err)
	}
	p, err := openfeature.NewProvider(c, openfeature.Config{Run: true})
	if err != nil {
		t.Fatal(err)
	}
	return s, c, p
}

// diary is what an API told its handlers.
type diary struct {
	mu      sync.Mutex
	entries []string
	last    of.EventDetails
}

// listen registers handlers for every kind of event.
func listen(api *of.EvaluationAPI) *diary {
	d := &diary{}
	for _, kind := range []of.EventType{of.ProviderReady, of.ProviderConfigChange, of.ProviderStale, of.ProviderError} {
		handler := func(details of.EventDetails) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.last = details
			d.entries = append(d.entries, strings.TrimSpace(string(kind)+" "+strings.Join(details.FlagChanges, " ")))
		}
		api.AddHandler(kind, &handler)
	}
	return d
}

// since returns what was told since the last call, once all is quiet. It is
// sorted: the SDK calls each handler on a goroutine of its own.
func (d *diary) since() []string {
	time.Sleep(time.Second) // of the bubble: past what events wait after Init
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	entries := slices.Sorted(slices.Values(d.entries))
	d.entries = nil
	return entries
}

const (
	readyEvent  = string(of.ProviderReady)
	changeEvent = string(of.ProviderConfigChange)
	staleEvent  = string(of.ProviderStale)
	errorEvent  = string(of.ProviderError)
)

func expect(t *testing.T, step string, d *diary, client *of.Client, state of.State, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, d.since()); diff != "" {
		t.Errorf("%s: %s", step, diff)
	}
	if got := client.State(); got != state {
		t.Errorf("%s: state %s, want %s", step, got, state)
	}
}

func TestTheSDKIsToldWhatHappensToTheFlags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, p := following(t)
		api := isolated.NewAPI()
		d := listen(api)
		if err := api.SetProviderAndWait(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		client := api.NewClient()
		on := func() bool { return client.Boolean(t.Context(), "a", false, of.EvaluationContext{}) }

		expect(t, "set", d, client, of.ReadyState, readyEvent)
		s.deliver(percent(100), nil)
		expect(t, "one flag changes", d, client, of.ReadyState, changeEvent+" a")
		s.deliver("", errors.New("gone"))
		expect(t, "unreachable", d, client, of.StaleState, staleEvent)
		s.deliver("", errors.New("gone"))
		expect(t, "still unreachable", d, client, of.StaleState)
		if !on() {
			t.Error("the last good definitions do not answer")
		}
		s.deliver("{", nil)
		expect(t, "rejected", d, client, of.StaleState, staleEvent)
		if d.last.Message == "" || d.last.EventMetadata["version"] == "" || d.last.ProviderName != "handrail" {
			t.Errorf("details %+v", d.last)
		}
		s.deliver(percent(100), nil)
		expect(t, "as before", d, client, of.ReadyState, readyEvent)
		s.deliver("", errors.New("gone"))
		expect(t, "unreachable again", d, client, of.StaleState, staleEvent)
		s.deliver("{c: {rolloutPercentage: 1}, b: {rolloutPercentage: 1}}", nil)
		expect(t, "back with a flag less and one more", d, client, of.ReadyState, changeEvent+" a c", readyEvent)
		s.deliver("", errBroken)
		expect(t, "nothing follows", d, client, of.ErrorState, errorEvent)
		if on() {
			t.Error("a flag that is gone is on")
		}
		if err := api.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The SDK takes a provider for ready after Init. One that is stale says so then.
func TestAProviderThatIsStaleWhenItIsSetSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, p := following(t)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = c.Run(ctx) })
		s.deliver("", errors.New("gone"))
		api := isolated.NewAPI()
		d := listen(api)
		for _, domain := range []string{"one", "two"} { // the second says ready for both
			if err := api.SetProviderAndWait(t.Context(), p, of.WithDomain(domain)); err != nil {
				t.Fatal(err)
			}
			expect(t, domain, d, api.NewClient(of.WithDomain("one")), of.StaleState, readyEvent, staleEvent)
		}
		s.deliver(percent(0), nil)
		expect(t, "back", d, api.NewClient(of.WithDomain("two")), of.ReadyState, readyEvent)
		if err := api.Shutdown(t.Context()); err != nil { // shuts it down twice
			t.Error(err)
		}
		cancel()
		running.Wait()
	})
}

// Nobody reads events here: what comes up meanwhile is told together.
func TestAReaderThatIsLateHearsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, p := following(t)
		if err := p.Init(of.EvaluationContext{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.deliver(percent(1), nil) // waits to be read
		synctest.Wait()
		for i := range 1000 {
			s.deliver(fmt.Sprintf("{a: {rolloutPercentage: 0}, c-%d: {rolloutPercentage: 1}}", i), nil)
			s.deliver("", errors.New("gone"))
		}
		var got []string
		for range 3 {
			ev := <-p.EventChannel()
			got = append(got, string(ev.EventType)+" "+strings.Join(ev.FlagChanges, " "))
		}
		want := []string{changeEvent + " a", changeEvent + " a b c-999", staleEvent + " "}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		p.Shutdown()
		select {
		case ev := <-p.EventChannel():
			t.Errorf("told %+v", ev)
		default:
		}
	})
}

func TestShutdownEndsWhatInitBeganAndMayComeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails when a goroutine is left
		s, c, p := following(t)
		p.Shutdown() // before Init
		for range 2 {
			for range 3 {
				if err := p.Init(of.EvaluationContext{}); err != nil {
					t.Fatal(err)
				}
			}
			s.deliver(percent(5), nil) // the client runs; an event waits
			p.Shutdown()
			p.Shutdown()
		}
		if err := c.Run(ended()); err != nil {
			t.Errorf("the client still runs: %v", err)
		}
		if got := ask(p, "b", true, of.FlattenedContext{of.TargetingKey: "x"}); got.Code != "" {
			t.Errorf("after Shutdown: %+v", got)
		}
	})
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// stubborn is a Source that does not care for the end of Watch's context.
type stubborn struct {
	source
	release chan struct{}
}

func (s *stubborn) Watch(context.Context, func(flags.Document, error)) error {
	<-s.release
	return nil
}

// clinging is a provider, after Init, that runs a client on a stubborn source.
func clinging(t *testing.T) (*stubborn, *flags.Client, *openfeature.Provider) {
	t.Helper()
	s := &stubborn{source{first: percent(0)}, make(chan struct{})}
	c, err := flags.New(t.Context(), flags.Config{Source: s})
	if err != nil {
		t.Fatal(err)
	}
	p, err := openfeature.NewProvider(c, openfeature.Config{Run: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Init(of.EvaluationContext{}); err != nil {
		t.Fatal(err)
	}
	return s, c, p
}

func TestShutdownAndInitWaitNoLongerThanTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, p := clinging(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.ShutdownWithContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if err := p.InitWithContext(ctx, of.EvaluationContext{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Init: %v", err)
		}
		close(s.release)
		p.Shutdown()
	})
}

// An Init that waits for what came before to end holds nobody up, and a Shutdown
// ends it too.
func TestShutdownDoesNotWaitForAnInitThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, p := clinging(t)
		shutdown := func() {
			t.Helper()
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if err := p.ShutdownWithContext(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Second {
				t.Errorf("after %s: %v", time.Since(began), err)
			}
		}
		shutdown()
		ended := make(chan error)
		go func() { ended <- p.Init(of.EvaluationContext{}) }()
		synctest.Wait()
		go func() { // what holds the source lets go in the end
			time.Sleep(time.Minute)
			close(s.release)
		}()
		shutdown()
		var failed *of.ProviderInitError
		if err := <-ended; !errors.As(err, &failed) || failed.ErrorCode != of.ProviderNotReadyCode {
			t.Errorf("Init: %v", err)
		}
		if err := c.Run(context.Background()); err != nil { // the source is released: it returns at once
			t.Errorf("the client still runs: %v", err)
		}
		if err := p.Init(of.EvaluationContext{}); err != nil {
			t.Errorf("another Init: %v", err)
		}
		p.Shutdown()
	})
}

func TestALongErrorIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, p := following(t)
		if err := p.Init(of.EvaluationContext{}); err != nil {
			t.Fatal(err)
		}
		s.deliver("", errors.New(strings.Repeat("ä", 5000)))
		if ev := <-p.EventChannel(); ev.EventType != of.ProviderStale || len(ev.Message) > 1100 || !strings.HasSuffix(ev.Message, "ä…") {
			t.Errorf("%s of %d bytes", ev.EventType, len(ev.Message))
		}
		p.Shutdown()
	})
}

func TestEvaluationsEventsAndShutdownsAtOnce(t *testing.T) {
	s, _, p := following(t)
	api := isolated.NewAPI()
	listen(api)
	if err := api.SetProviderAndWait(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	client := api.NewClient()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 300 {
				if _, err := client.BooleanValue(t.Context(), "a", false, of.NewEvaluationContext("alice", map[string]any{"x": 1})); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := p.InitWithContext(t.Context(), of.EvaluationContext{}); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 100 {
		s.deliver(percent(i%100), nil)
	}
	wg.Wait()
	if err := api.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// unready is a provider that runs a client without definitions.
func unready(t *testing.T, cfg openfeature.Config) (*source, *openfeature.Provider) {
	t.Helper()
	s := &source{updates: make(chan update)}
	c, err := flags.New(t.Context(), flags.Config{Source: s, AllowUnready: true})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Run = true
	p, err := openfeature.NewProvider(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

func TestInitWaitsForTheFirstDefinitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := unready(t, openfeature.Config{})
		api := isolated.NewAPI()
		d, client := listen(api), api.NewClient()
		if err := api.SetProvider(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		expect(t, "nothing yet", d, client, of.NotReadyState)
		s.deliver("", errors.New("gone"))
		s.deliver("{", nil)
		expect(t, "still nothing", d, client, of.NotReadyState)
		if got := ask(p, "a", true, nil); got.Code != of.ProviderNotReadyCode {
			t.Errorf("asked itself, it answers %+v", got)
		}
		s.deliver(percent(1), nil)
		expect(t, "loaded", d, client, of.ReadyState, readyEvent)
		if err := api.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestDefinitionsThatComeAfterInitGaveUpMakeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := unready(t, openfeature.Config{InitTimeout: time.Minute})
		api := isolated.NewAPI()
		d, client := listen(api), api.NewClient()
		began := time.Now()
		err := api.SetProviderAndWait(t.Context(), p)
		var failed *of.ProviderInitError
		if !errors.As(err, &failed) || failed.ErrorCode != of.ProviderNotReadyCode || time.Since(began) != time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		expect(t, "gave up", d, client, of.ErrorState, errorEvent)
		s.deliver("", errors.New("gone"))
		expect(t, "for another reason", d, client, of.ErrorState, errorEvent)
		s.deliver(percent(1), nil)
		expect(t, "loaded", d, client, of.ReadyState, changeEvent+" a b", readyEvent)
		if err := api.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestInitFailsAtOnceWhenNothingFollowsTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := unready(t, openfeature.Config{})
		began := time.Now()
		go s.deliver("", errBroken)
		err := p.Init(of.EvaluationContext{})
		var failed *of.ProviderInitError
		if !errors.As(err, &failed) || failed.Message != "broken" || time.Since(began) != 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		p.Shutdown()
	})
}

func TestShutdownEndsAnInitThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := unready(t, openfeature.Config{})
		began, ended := time.Now(), make(chan error)
		go func() { ended <- p.Init(of.EvaluationContext{}) }()
		synctest.Wait()
		p.Shutdown()
		if err := <-ended; err == nil || time.Since(began) != 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.InitWithContext(ctx, of.EvaluationContext{}); err == nil || time.Since(began) != time.Second {
			t.Errorf("its context: after %s: %v", time.Since(began), err)
		}
		p.Shutdown()
	})
}
