package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

const (
	// faultPhase is how long faults strike; settling takes as long as it takes,
	// up to settleTime.
	faultPhase = 700 * time.Millisecond
	settleTime = 60 * time.Second

	// leaseMargin is what a lease adds to the timeout of a route, and ageSlack
	// what a claim is older than the timeout before its lease is ended: whoever
	// held it and was alive has settled it by then.
	leaseMargin = 10 * time.Second
	ageSlack    = 300 * time.Millisecond
)

// A faultRun is one life of a route: of its provider, sidecars, store and app.
type faultRun struct {
	t        *testing.T
	lane     *faultLane
	seed     uint64
	rnd      *rand.Rand // of the run's own goroutine
	setup    faultSetup
	provider faultProvider
	route    string
	timeout  time.Duration
	// Of an inbox: what it sends on, and its key for the order, or nothing.
	signature, order string
	// fromSync: the sidecars begin in mode sync, and get that of an inbox when
	// they are started anew.
	fromSync bool
	// pooler: PostgreSQL's statements are not prepared.
	pooler bool
	dir    string
	begin  time.Time

	app      *faultApp
	store    faultStore
	proxies  []*faultProxy
	sidecars []*faultSidecar
	events   []*faultEvent

	armed   []*fault
	strikes chan *strike
	agenda  []agendum
	over    chan struct{} // closed when nothing waits for anything any more

	mu       sync.Mutex
	disarmed bool
	stopped  int    // the sidecar that resume lets go on
	resume   func() // nil when none is to
	journal  []string
	counts   map[string]int
	// statements that a PostgreSQL server was told of, by name, and what they do.
	statements map[string]string

	wentBack time.Duration      // when the store's clock did; 0 before
	agings   [][2]time.Duration // from when to when leases were ended

	// What check has found.
	kept  map[string]keptDelivery
	byKey map[string][]faultCall
}

// An agendum is what the run's goroutine does at a time.
type agendum struct {
	at time.Duration
	do func()
}

func newFaultRun(t *testing.T, lane *faultLane, seed uint64) *faultRun {
	t.Helper()
	r := &faultRun{
		t: t, lane: lane, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)),
		setup: faultSetups[seed%uint64(len(faultSetups))], route: fmt.Sprintf("r%d-%d", seed, os.Getpid()),
		dir: t.TempDir(), strikes: make(chan *strike), over: make(chan struct{}), counts: map[string]int{},
		statements: map[string]string{},
	}
	r.plan()
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Provider: r.provider.name, Secrets: []string{r.provider.secret}})
	if err != nil {
		t.Fatal(err)
	}
	r.app = &faultApp{run: r, verifier: verifier, wrong: r.wrongCalls(), effects: map[string]int{}, gone: map[string]bool{}}
	return r
}

func (r *faultRun) now() time.Duration { return time.Since(r.begin) }

func (r *faultRun) note(format string, args ...any) {
	line := fmt.Sprintf("%9.1fms ", float64(r.now().Microseconds())/1000) + fmt.Sprintf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal = append(r.journal, line)
}

func (r *faultRun) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

// pause waits, until stop, or until the run is over.
func (r *faultRun) pause(stop <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stop:
	case <-r.over:
	}
}

// play runs it all.
func (r *faultRun) play() {
	r.t.Cleanup(func() {
		if r.t.Failed() || os.Getenv(faultRunsEnv) == "1" {
			r.t.Logf("%s, %s, timeout %v, %d sidecars; to repeat: %s=1 %s=%d\n%s", r.setup, r.provider.name, r.timeout,
				len(r.sidecars), faultRunsEnv, faultSeedEnv, r.seed, strings.Join(r.journal, "\n"))
		}
	})
	r.begin = time.Now()
	r.app.up()
	defer r.app.down()
	r.store = r.openStore()
	defer r.store.close()
	defer func() {
		for _, s := range r.sidecars {
			s.kill()
		}
		for _, p := range r.proxies {
			p.close()
		}
	}()
	r.startSidecars()
	for _, f := range r.armed {
		if f.step == "" {
			r.later(r.now()+f.after, func() { r.strikeNow(f, r.rnd.IntN(len(r.sidecars))) })
		}
	}
	var senders sync.WaitGroup
	for _, e := range r.events {
		senders.Go(e.deliver)
	}
	delivered := make(chan struct{})
	go func() {
		senders.Wait()
		close(delivered)
	}()
	r.drive(delivered)
	r.switchModes()
	r.settle(delivered)
	close(r.over)
	<-delivered
	r.check()
}

func (r *faultRun) startSidecars() {
	r.t.Helper()
	for i := range faultSidecars {
		s := &faultSidecar{run: r, n: i}
		var target, scheme string
		switch r.setup.store {
		case "redis":
			target, scheme = r.lane.redis.Addr(), "REDIS_URL=redis://%s/0"
		case "postgres":
			target, scheme = r.lane.postgres.Addr(), "DATABASE_URL=postgres://postgres@%s/postgres?sslmode=disable"
			if r.pooler {
				scheme += "&pgbouncer=true"
			}
		}
		if target != "" {
			p := newFaultProxy(r.t, r.lane.storePorts[i], target, func(c *faultConn, toStore bool, data []byte) bool {
				return r.seeStore(i, c, toStore, data)
			})
			r.proxies = append(r.proxies, p)
			s.env = []string{fmt.Sprintf(scheme, p.ln.Addr())}
		}
		s.config, s.sync = fmt.Sprintf("handrail%d.yaml", i), r.fromSync
		if i < r.plannedSidecars() {
			r.sidecars = append(r.sidecars, s)
			s.start()
		}
	}
}

// configure writes the configuration of a sidecar.
func (s *faultSidecar) configure() {
	r := s.run
	r.t.Helper()
	more := ""
	if r.setup.mode == "inbox" && !s.sync {
		more = fmt.Sprintf(", mode: inbox, signature: %s, inbox: {timeout: %s, first_retry: 50ms, longest_retry: 200ms, concurrency: 4%s}",
			r.signature, r.timeout, r.order)
	}
	text := config(fmt.Sprintf("http://127.0.0.1:%d", r.lane.appPorts[s.n]), fmt.Sprintf(`
data_dir: %s
webhooks: [{name: %s, path: /hook, provider: %s, secrets: [%q], timeout: %s, store: %s%s}]`,
		filepath.Join(r.dir, "handrail-data"), r.route, r.provider.name, r.provider.secret, r.timeout, r.setup.store, more))
	if err := os.WriteFile(filepath.Join(r.dir, s.config), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// later puts something on the agenda.
func (r *faultRun) later(at time.Duration, do func()) {
	r.agenda = append(r.agenda, agendum{at, do})
	slices.SortStableFunc(r.agenda, func(a, b agendum) int { return int(a.at - b.at) })
}

// drive lets the faults strike and heals what they did, until all have, or until
// the time for it is over.
func (r *faultRun) drive(delivered <-chan struct{}) {
	for {
		now := r.now()
		if len(r.agenda) > 0 && r.agenda[0].at <= now {
			do := r.agenda[0].do
			r.agenda = r.agenda[1:]
			do()
			continue
		}
		wait := max(0, faultPhase-now)
		if r.struckAll() {
			wait = 0
		}
		if len(r.agenda) > 0 {
			wait = r.agenda[0].at - now
		} else if wait == 0 {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case s := <-r.strikes:
			r.strike(s.fault, s.sidecar)
			close(s.done)
		case <-timer.C:
		case <-delivered:
			if len(r.agenda) == 0 {
				timer.Stop()
				r.disarm()
				return
			}
			delivered = nil
		}
		timer.Stop()
	}
	r.disarm()
}

// switchModes gives the sidecars that began in another mode that of the run.
func (r *faultRun) switchModes() {
	for _, s := range r.sidecars {
		if s.sync {
			s.kill()
			r.restart(s)
		}
	}
}

// disarm ends what is still to strike, and what was struck is whole again.
func (r *faultRun) disarm() {
	r.mu.Lock()
	r.disarmed = true
	r.mu.Unlock()
	for {
		select {
		case s := <-r.strikes: // was on its way
			s.miss()
			continue
		default:
		}
		break
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.armed {
		if !f.struck {
			r.counts["faults whose moment did not come"]++
		}
	}
}

// settle waits until the provider has delivered all it has, and ends the leases
// of those that are gone meanwhile.
func (r *faultRun) settle(delivered <-chan struct{}) {
	r.note("nothing is wrong any more")
	deadline := r.now() + settleTime
	for r.now() < deadline {
		select {
		case <-delivered:
			if r.app.idle() && r.inboxEmpty() {
				return
			}
			<-time.After(10 * time.Millisecond)
		case s := <-r.strikes:
			s.miss()
		case <-time.After(80 * time.Millisecond):
		}
		r.age()
	}
	r.t.Error("events were not delivered, although nothing was wrong any more")
}

// age ends the leases of those who cannot be at work any more. What an inbox
// keeps for later is due.
func (r *faultRun) age() {
	from, most := r.now(), r.timeout+leaseMargin+time.Second
	if r.wentBack > 0 && from < r.wentBack+r.timeout+ageSlack {
		most = 24 * time.Hour // who had claimed by then may be at work
	}
	if err := r.store.age(r.t.Context(), r.route, leaseMargin-ageSlack, most); err != nil {
		r.note("ageing: %v", err)
	}
	r.agings = append(r.agings, [2]time.Duration{from, r.now()})
}

// inboxEmpty reports whether no message waits any more.
func (r *faultRun) inboxEmpty() bool {
	kept, err := r.store.kept(r.t.Context(), r.route)
	if err != nil {
		r.note("the store: %v", err)
	}
	for _, d := range kept {
		if d.stored {
			return false
		}
	}
	return err == nil
}

// A faultSidecar is a sidecar that is killed and started again.
type faultSidecar struct {
	run    *faultRun
	n      int
	config string
	sync   bool // it has mode sync, before it gets that of the run
	env    []string

	mu        sync.Mutex
	process   *process // nil while there is none
	processes []*process
	stopped   bool
}

func (s *faultSidecar) start() {
	s.run.t.Helper()
	s.configure()
	p := launch(s.run.t, s.run.dir, []string{"serve", "--config", s.config}, s.env...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
	s.processes = append(s.processes, p)
	s.run.note("sidecar %d: started, %s", s.n, p.public)
}

// url is where it can be reached; empty while it cannot.
func (s *faultSidecar) url() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return ""
	}
	return s.process.url("/hook")
}

// kill ends the process, and nothing when there is none.
func (s *faultSidecar) kill() {
	s.mu.Lock()
	p := s.process
	s.process, s.stopped = nil, false
	s.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

func (s *faultSidecar) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		_ = s.process.cmd.Process.Signal(sig)
		if sig == syscall.SIGSTOP || sig == syscall.SIGCONT {
			s.stopped = sig == syscall.SIGSTOP
		}
	}
}

func (s *faultSidecar) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// reload changes the configuration of a sidecar that runs. Into another mode it
// goes now, if it is to and nothing is in the way.
func (s *faultSidecar) reload() {
	began := s.sync
	s.sync = false
	s.configure()
	s.sync = began
	s.signal(syscall.SIGHUP)
}

func (s *faultSidecar) logs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, p := range s.processes {
		all = append(all, p.logged())
	}
	return all
}
