package health_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/handrail-go/handrail/health"
)

func newMonitor(t *testing.T, cfg health.Config) *health.Monitor {
	t.Helper()
	m, err := health.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// start runs m until the returned function is called, which waits for Run.
func start(t *testing.T, m *health.Monitor) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func poll(h http.Handler, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/health", nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func pass(context.Context) error { return nil }
func fail(context.Context) error { return errors.New("refused") }
func warn(context.Context) error { return health.Warning("slow") }

// hang returns a check that ignores its context until release is called.
func hang() (check func(context.Context) error, calls *atomic.Int64, release func()) {
	ch := make(chan struct{})
	calls = new(atomic.Int64)
	return func(context.Context) error { calls.Add(1); <-ch; return nil }, calls, sync.OnceFunc(func() { close(ch) })
}

func TestConfigProblemsAreReportedAtOnce(t *testing.T) {
	_, err := health.New(health.Config{
		Refresh:    time.Millisecond,
		RetryAfter: -1,
		Checks: []health.Check{
			{Name: "db", Func: pass},
			{Name: "db", Func: pass},
			{Name: "a b", Func: nil, Interval: 1, Timeout: -1, Fall: -1, Rise: -1},
		},
	})
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var ce *health.ConfigError
		if !errors.As(e, &ce) {
			t.Fatalf("%T is no ConfigError", e)
		}
		got = append(got, ce.Field)
	}
	want := []string{
		"Refresh", "RetryAfter", "Checks[1].Name", "Checks[2].Name", "Checks[2].Func",
		"Checks[2].Interval", "Checks[2].Timeout", "Checks[2].Fall", "Checks[2].Rise",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestStatusPrecedence(t *testing.T) {
	critical := func(f func(context.Context) error) health.Check {
		return health.Check{Name: "c", Func: f, Critical: true}
	}
	plain := func(f func(context.Context) error) health.Check { return health.Check{Name: "p", Func: f} }
	ready := func(m *health.Monitor) { m.SetReady() }
	for _, tt := range []struct {
		rule   string
		checks []health.Check
		enter  func(*health.Monitor)
		want   health.Status
		code   int
	}{
		{"no checks, ready: ok", nil, ready, health.StatusOK, 200},
		{"before SetReady: starting", []health.Check{critical(pass)}, func(*health.Monitor) {}, health.StatusStarting, 503},
		{"starting comes before degraded", []health.Check{critical(fail)}, func(*health.Monitor) {}, health.StatusStarting, 503},
		{"draining comes before starting", []health.Check{critical(pass)}, (*health.Monitor).SetDraining, health.StatusDraining, 503},
		{"draining comes before degraded", []health.Check{critical(fail)}, func(m *health.Monitor) { m.SetReady(); m.SetDraining() }, health.StatusDraining, 503},
		{"draining is final", nil, func(m *health.Monitor) { m.SetDraining(); m.SetReady() }, health.StatusDraining, 503},
		{"critical error: degraded", []health.Check{critical(fail), plain(pass)}, ready, health.StatusDegraded, 503},
		{"degraded comes before warning", []health.Check{critical(fail), plain(warn)}, ready, health.StatusDegraded, 503},
		{"critical warning: warning", []health.Check{critical(warn)}, ready, health.StatusWarning, 200},
		{"other error: warning", []health.Check{critical(pass), plain(fail)}, ready, health.StatusWarning, 200},
		{"raised warning: warning", nil, func(m *health.Monitor) { m.SetReady(); m.Warn("client_identity", "private peer") }, health.StatusWarning, 200},
		{"cleared warning: ok", nil, func(m *health.Monitor) { m.SetReady(); m.Warn("x", ""); m.Clear("x") }, health.StatusOK, 200},
		{"all well: ok", []health.Check{critical(pass), plain(pass)}, ready, health.StatusOK, 200},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMonitor(t, health.Config{Checks: tt.checks})
				defer start(t, m)()
				tt.enter(m)
				time.Sleep(time.Second)
				if got := m.Status(); got != tt.want {
					t.Errorf("Status() = %q, want %q", got, tt.want)
				}
				w := poll(m.Handler())
				if w.Code != tt.code || !strings.HasPrefix(w.Body.String(), `{"status":"`+string(tt.want)+`"`) {
					t.Errorf("got %d %s, want %d %s", w.Code, w.Body, tt.code, tt.want)
				}
			})
		})
	}
}

func TestCriticalCheckWithoutAnAnswerYetIsStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, _, release := hang()
		m := newMonitor(t, health.Config{Checks: []health.Check{{Name: "db", Func: check, Critical: true}}})
		defer start(t, m)()
		defer release()
		m.SetReady()
		time.Sleep(time.Second) // the call started within 500 ms and may last 1.6 s
		if got := m.Status(); got != health.StatusStarting {
			t.Errorf("status %q, want starting", got)
		}
		time.Sleep(3 * time.Second)
		if got := m.Status(); got != health.StatusDegraded {
			t.Errorf("status %q once stale, want degraded", got)
		}
	})
}

func TestHungCheckIsCalledOnceAndBecomesStale(t *testing.T) {
	for _, tt := range []struct {
		rule     string
		critical bool
		value    string
		code     int
	}{
		{"critical counts as error", true, `"db":"error"`, 503},
		{"another counts as warning", false, `"db":"warning"`, 200},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blocked, hanging, release := hang()
				calls := 0
				check := func(ctx context.Context) error {
					if calls++; calls == 1 {
						return nil
					}
					return blocked(ctx)
				}
				m := newMonitor(t, health.Config{Checks: []health.Check{{Name: "db", Func: check, Critical: tt.critical, Ready: true}}})
				stop := start(t, m)
				m.SetReady()
				time.Sleep(time.Second)
				if w := poll(m.Handler()); w.Code != 200 || !strings.Contains(w.Body.String(), `"db":"ok"`) {
					t.Fatalf("before: %d %s", w.Code, w.Body)
				}
				time.Sleep(time.Minute)
				if n := hanging.Load(); n != 1 {
					t.Errorf("%d calls hang at once, want 1", n)
				}
				var wg sync.WaitGroup
				for range 5 { // each would wait for ever, were it to wait for the check
					wg.Go(func() {
						if w := poll(m.Handler()); w.Code != tt.code || !strings.Contains(w.Body.String(), tt.value) {
							t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, tt.code, tt.value)
						}
					})
				}
				wg.Wait()
				if w := poll(m.VerboseHandler()); !strings.Contains(w.Body.String(), `"stale":true`) {
					t.Errorf("verbose does not say stale: %s", w.Body)
				}
				if w := poll(m.ReadyzHandler()); w.Code != 503 {
					t.Errorf("readyz: %d with a stale check that it needs", w.Code)
				}
				release()
				time.Sleep(6 * time.Second)
				if w := poll(m.Handler()); w.Code != 200 || !strings.Contains(w.Body.String(), `"db":"ok"`) {
					t.Errorf("after it returned: %d %s", w.Code, w.Body)
				}
				stop()
			})
		})
	}
}

func TestRunLeavesAHungCheckBehindInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, _, release := hang()
		defer release()
		m := newMonitor(t, health.Config{Checks: []health.Check{{Name: "db", Func: check, Timeout: 2 * time.Second}}})
		stop := start(t, m)
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("Run took %v to end, want the timeout of the check", d)
		}
		if err := m.Run(t.Context()); !errors.Is(err, health.ErrRunning) {
			t.Errorf("second Run: %v", err)
		}
	})
}

func TestPollerThatGivesUpDisturbsNoCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, cancelled atomic.Int64
		m := newMonitor(t, health.Config{Checks: []health.Check{{
			Name: "db", Critical: true,
			Func: func(ctx context.Context) error {
				calls.Add(1)
				select {
				case <-time.After(100 * time.Millisecond):
					return nil
				case <-ctx.Done():
					cancelled.Add(1)
					return ctx.Err()
				}
			},
		}}})
		defer start(t, m)()
		m.SetReady()
		time.Sleep(time.Second)
		for range 2000 { // over 20 s: four intervals
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			w := httptest.NewRecorder()
			m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/health", nil))
			cancel()
			if w.Code != 200 {
				t.Fatalf("poll: %d %s", w.Code, w.Body)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := calls.Load(); n != 5 {
			t.Errorf("%d calls in 21 s, want one per 5 s", n)
		}
		if cancelled.Load() != 0 {
			t.Error("a poll cancelled a check")
		}
	})
}

func TestFallAndRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := []error{nil, errors.New("1"), errors.New("2"), nil, errors.New("1"), errors.New("2"), errors.New("3"), nil, errors.New("x"), nil, nil, nil}
		want := []string{"ok", "ok", "ok", "ok", "ok", "ok", "error", "error", "error", "error", "ok", "ok"}
		i := 0
		m := newMonitor(t, health.Config{Checks: []health.Check{{
			Name: "db", Fall: 3, Rise: 2, Interval: time.Second,
			Func: func(context.Context) error { i++; return script[i-1] },
		}}})
		m.SetReady()
		stop := start(t, m)
		time.Sleep(500 * time.Millisecond)
		var got []string
		for range script {
			body := poll(m.Handler()).Body.String()
			_, v, _ := strings.Cut(body, `"db":"`)
			v, _, _ = strings.Cut(v, `"`)
			got = append(got, v)
			if len(got) == len(script) {
				stop()
				break
			}
			time.Sleep(time.Second)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

func TestFirstCallDecidesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMonitor(t, health.Config{Checks: []health.Check{{Name: "db", Fall: 5, Func: fail, Critical: true}}})
		defer start(t, m)()
		m.SetReady()
		time.Sleep(time.Second)
		if got := m.Status(); got != health.StatusDegraded {
			t.Errorf("status %q", got)
		}
	})
}

func TestChecksThatMisbehaveAreErrors(t *testing.T) {
	for _, tt := range []struct {
		rule string
		f    func(context.Context) error
		text string
	}{
		{"a panic", func(context.Context) error { panic("boom") }, "panicked: boom"},
		{"a success after the timeout", func(context.Context) error { time.Sleep(time.Second); return nil }, "longer than its timeout"},
		{"a wait for the context", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "deadline exceeded"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMonitor(t, health.Config{Checks: []health.Check{{Name: "db", Func: tt.f, Critical: true}}})
				defer start(t, m)()
				m.SetReady()
				time.Sleep(2 * time.Second)
				if w := poll(m.Handler()); w.Code != 503 || strings.Contains(w.Body.String(), tt.text) {
					t.Errorf("public: %d %s", w.Code, w.Body)
				}
				if w := poll(m.VerboseHandler()); !strings.Contains(w.Body.String(), tt.text) {
					t.Errorf("verbose lacks %q: %s", tt.text, w.Body)
				}
			})
		})
	}
}

func TestStoppedPublisherIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMonitor(t, health.Config{Checks: []health.Check{{Name: "up", Func: pass, Critical: true, Ready: true}}})
		m.SetReady()
		stop := start(t, m)
		time.Sleep(time.Second)
		stop()
		if w := poll(m.Handler()); w.Code != 200 {
			t.Fatalf("just stopped: %d %s", w.Code, w.Body)
		}
		time.Sleep(6 * time.Second)
		for _, h := range []http.Handler{m.Handler(), m.ReadyzHandler(), m.VerboseHandler()} {
			if w := poll(h); w.Code != 503 || !strings.Contains(w.Body.String(), `"status":"stale"`) || w.Header().Get("Retry-After") != "5" {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
		}
		if m.Status() != health.StatusStale {
			t.Errorf("Status() = %q", m.Status())
		}
		if w := poll(m.StartupzHandler()); w.Code != 200 {
			t.Errorf("startupz is latched, got %d", w.Code)
		}
		m.SetDraining()
		if w := poll(m.Handler()); !strings.Contains(w.Body.String(), `"status":"draining"`) {
			t.Errorf("draining comes before stale: %s", w.Body)
		}
	})
}

func TestReadinessAndStartup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var upstream, database atomic.Bool
		upstream.Store(false)
		check := func(up *atomic.Bool) func(context.Context) error {
			return func(context.Context) error {
				if up.Load() {
					return nil
				}
				return errors.New("down")
			}
		}
		m := newMonitor(t, health.Config{Checks: []health.Check{
			{Name: "upstream", Func: check(&upstream), Critical: true, Ready: true},
			{Name: "database", Func: check(&database), Critical: true},
		}})
		defer start(t, m)()
		codes := func() [4]int {
			return [4]int{poll(m.Handler()).Code, poll(m.ReadyzHandler()).Code, poll(m.StartupzHandler()).Code, poll(m.LivezHandler()).Code}
		}
		step := func(what string, want [4]int) {
			t.Helper()
			time.Sleep(6 * time.Second)
			if got := codes(); got != want {
				t.Errorf("%s: health, readyz, startupz, livez = %v, want %v", what, got, want)
			}
		}
		step("starting", [4]int{503, 503, 503, 200})
		m.SetReady()
		step("upstream down", [4]int{503, 503, 503, 200})
		upstream.Store(true)
		step("a shared database does not take instances out", [4]int{503, 200, 200, 200})
		database.Store(true)
		step("all up", [4]int{200, 200, 200, 200})
		upstream.Store(false)
		step("startup is latched", [4]int{503, 503, 200, 200})
		upstream.Store(true)
		step("up again", [4]int{200, 200, 200, 200})
		m.SetDraining()
		if got, want := codes(), ([4]int{503, 503, 200, 200}); got != want {
			t.Errorf("draining shows at once: %v, want %v", got, want)
		}
	})
}

func TestEventsTellEveryChangeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		up.Store(true)
		blocked, _, release := hang()
		var hung atomic.Bool
		var got []string
		m := newMonitor(t, health.Config{
			Checks: []health.Check{{Name: "db", Critical: true, Func: func(ctx context.Context) error {
				if hung.Load() {
					return blocked(ctx)
				}
				if up.Load() {
					return nil
				}
				return errors.New("down")
			}}},
			OnEvent: func(e health.Event) {
				s := e.Check + " " + e.From + ">" + e.To
				if e.Err != nil {
					s += " " + e.Err.Error()
				}
				got = append(got, s)
			},
		})
		stop := start(t, m)
		m.SetReady()
		time.Sleep(time.Second)
		up.Store(false)
		time.Sleep(5 * time.Second)
		up.Store(true)
		time.Sleep(5 * time.Second)
		hung.Store(true)
		time.Sleep(10 * time.Second)
		release()
		time.Sleep(time.Second)
		m.Warn("limiter", "on its own")
		synctest.Wait()
		m.Clear("limiter")
		synctest.Wait()
		stop()
		want := []string{
			"db unknown>ok", " starting>ok",
			"db ok>error down", " ok>degraded",
			"db error>ok", " degraded>ok",
			"db ok>error " + health.ErrStale.Error(), " ok>degraded",
			"db error>ok", " degraded>ok",
			"limiter unknown>warning on its own", " ok>warning",
			"limiter warning>ok", " warning>ok",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}
