package main

import (
	"bytes"
	"cmp"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A fault strikes once.
type fault struct {
	kind string
	// step is the moment: it strikes at the nth of them. Empty means that it
	// strikes after a time.
	step  string
	nth   int
	after time.Duration
	// lasts is until it is healed.
	lasts time.Duration
	// amid lets what was stopped go on while the next attempt of the event is
	// under way elsewhere, at the latest after lasts.
	amid bool
	// waits makes a stop last longer than the lease by the wall clock, where
	// otherwise the lease is made to have begun earlier.
	waits bool

	seen    int
	struck  bool
	resumed chan struct{} // closed when what was stopped goes on
}

// A strike is a fault whose moment has come, elsewhere than in the run's own
// goroutine.
type strike struct {
	fault   *fault
	sidecar int
	done    chan struct{}
}

// miss is for a strike whose time is over.
func (s *strike) miss() {
	close(s.fault.resumed)
	close(s.done)
}

const waitingEach = 33 // one of so many runs waits for a lease by the wall clock

// plan draws what goes wrong.
func (r *faultRun) plan() {
	rnd := r.rnd
	r.provider = faultProviders[rnd.IntN(len(faultProviders))]
	r.timeout = []time.Duration{250 * time.Millisecond, 400 * time.Millisecond}[rnd.IntN(2)]
	r.signature = []string{"forward", "fresh"}[rnd.IntN(2)]
	r.order = []string{"", `, order: "json:/customer"`}[rnd.IntN(2)]
	r.pooler = rnd.IntN(3) == 0
	r.fromSync = r.setup.mode == "inbox" && rnd.IntN(5) == 0
	for range 1 + rnd.IntN(3) {
		r.armed = append(r.armed, r.drawFault())
	}
	if r.seed%waitingEach == 7 {
		r.armed = []*fault{{resumed: make(chan struct{}), kind: "stop", step: r.drawStep(), nth: 1 + rnd.IntN(3), waits: true, lasts: r.timeout + leaseMargin + ageSlack}}
	}
	n := 3 + rnd.IntN(5)
	for i := range n {
		r.events = append(r.events, r.newEvent(i))
	}
	if r.provider.replays {
		twin := r.newEvent(n)
		of := r.events[rnd.IntN(n)]
		twin.body, twin.sum, twin.begins = of.body, of.sum, min(twin.begins, of.begins)+time.Duration(rnd.Int64N(int64(100*time.Millisecond)))
		twin.twin, of.twin = of, twin
		r.events = append(r.events, twin)
	}
}

func (r *faultRun) plannedSidecars() int {
	for _, f := range r.armed {
		if f.kind == "stop" {
			return faultSidecars
		}
	}
	return 1 + int(r.seed/7%2)
}

// faultKinds by how often they are drawn.
func (r *faultRun) faultKinds() []string {
	kinds := []string{"kill", "kill", "kill", "kill", "stop", "stop", "terminate", "app down", "reload"}
	if r.setup.store == "sqlite" || r.lane.clock != nil {
		kinds = append(kinds, "clock forward", "clock back")
	}
	if r.setup.store != "sqlite" {
		kinds = append(kinds, "store killed", "store killed", "store killed", "cut", "cut", "hold")
	}
	return kinds
}

// steps of a delivery at which something may be done to it.
func (r *faultRun) steps() []string {
	if r.setup.store == "sqlite" {
		return []string{"", "about claim", "call", "effect", "about settle"}
	}
	steps := []string{"", "before claim", "after claim", "call", "effect", "before settle", "after settle"}
	if r.setup.mode == "inbox" {
		steps = append(steps, "before take", "after take")
	}
	return steps
}

func (r *faultRun) drawStep() string { return r.steps()[r.rnd.IntN(len(r.steps()))] }

func (r *faultRun) drawFault() *fault {
	rnd := r.rnd
	kinds := r.faultKinds()
	f := &fault{resumed: make(chan struct{}), kind: kinds[rnd.IntN(len(kinds))], nth: 1 + rnd.IntN(4)}
	f.after = time.Duration(rnd.Int64N(int64(250 * time.Millisecond)))
	f.lasts = time.Duration(rnd.Int64N(int64(150 * time.Millisecond)))
	f.step = r.drawStep()
	if strings.Contains(f.step, "settle") || strings.Contains(f.step, "take") { // of which there are fewer
		f.nth = 1 + rnd.IntN(2)
	}
	switch f.kind {
	case "terminate", "app down", "reload":
		f.step = ""
	case "stop":
		f.lasts = r.timeout + 2*ageSlack + f.lasts
		if f.amid = f.step != "" && rnd.IntN(4) > 0; f.amid {
			f.lasts += time.Second
		}
	case "cut", "hold":
		for f.step == "" || f.step == "call" || f.step == "effect" {
			f.step = r.drawStep()
		}
		f.lasts = time.Duration(rnd.Int64N(int64(2 * r.timeout)))
	}
	return f
}

// wrongCalls draws the calls of the app that go wrong.
func (r *faultRun) wrongCalls() map[int]string {
	wrong := map[int]string{}
	for range r.rnd.IntN(4) {
		wrong[r.rnd.IntN(2*len(r.events))] = faultyCalls[r.rnd.IntN(len(faultyCalls))]
	}
	return wrong
}

// at is called where a step is reached, and returns when what is to strike there
// has. False: the connection is to be cut.
func (r *faultRun) at(step string, sidecar int) bool {
	f := r.reached(step)
	if f == nil {
		return true
	}
	switch f.kind {
	case "cut":
		r.tell(f, sidecar)
		return false
	case "hold":
		r.tell(f, sidecar)
		r.pause(nil, f.lasts)
		return true
	}
	r.hand(f, sidecar)
	if f.kind == "stop" && strings.HasPrefix(step, "before ") {
		// What it was about to say, it says when it goes on.
		select {
		case <-f.resumed:
		case <-r.over:
		}
	}
	return true
}

// soon is at, for a step of which only the neighbourhood is known.
func (r *faultRun) soon(what string, sidecar int) {
	step := map[string]string{"send": "about claim", "answer": "about settle"}[what]
	if f := r.reached(step); f != nil {
		go func() {
			r.pause(nil, f.after/64) // up to 4 ms
			r.hand(f, sidecar)
		}()
	}
}

// hand lets the run's goroutine strike, and waits until it has.
func (r *faultRun) hand(f *fault, sidecar int) {
	s := &strike{f, sidecar, make(chan struct{})}
	select {
	case r.strikes <- s:
		<-s.done
	case <-r.over:
	}
}

// reached returns the fault that strikes now, if there is one.
func (r *faultRun) reached(step string) *fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.disarmed {
		return nil
	}
	for _, f := range r.armed {
		if f.step == "" || f.step != step || f.struck {
			continue
		}
		if f.seen++; f.seen == f.nth {
			f.struck = true
			return f
		}
	}
	return nil
}

func (r *faultRun) struckAll() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.armed {
		if !f.struck {
			return false
		}
	}
	return true
}

// seeStore finds the steps in what passes between a sidecar and its store.
func (r *faultRun) seeStore(sidecar int, c *faultConn, toStore bool, data []byte) bool {
	if !toStore {
		if kind := c.asked(); kind != "" {
			return r.at("after "+kind, sidecar)
		}
		return true
	}
	var kind string
	if r.setup.store == "redis" {
		kind = inRedis(data)
	} else {
		kind = r.inPostgres(data)
	}
	if !bytes.Contains(data, []byte(r.route)) {
		kind = ""
	}
	c.ask(kind)
	return kind == "" || r.at("before "+kind, sidecar)
}

var hexDigest = regexp.MustCompile(`[0-9a-f]{64}\r\n`)

// inRedis tells scripts apart by their arguments: a claim has a digest, and what
// ends one has eight in all.
func inRedis(data []byte) string {
	switch {
	case hexDigest.Match(data):
		return "claim"
	case bytes.HasPrefix(data, []byte("*8\r\n")):
		return "settle"
	}
	return ""
}

var (
	statementName  = regexp.MustCompile(`stmtcache_[0-9a-f]+`)
	statementParse = regexp.MustCompile(`(stmtcache_[0-9a-f]+)\x00([^\x00]+)`)
)

// inPostgres goes by the text of a statement, or by its name when it is prepared.
func (r *faultRun) inPostgres(data []byte) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range statementParse.FindAllSubmatch(data, -1) {
		if kind := statementKind(m[2]); kind != "" { // else it may be another message that names it
			r.statements[string(m[1])] = kind
		}
	}
	if name := statementName.Find(data); name != nil {
		return r.statements[string(name)]
	}
	return statementKind(data)
}

func statementKind(text []byte) string {
	for _, k := range []struct{ has, kind string }{
		{"taken + 1", "take"}, {"INSERT INTO handrail.webhook_deliveries", "claim"}, {"UPDATE handrail.webhook_deliveries", "settle"},
	} {
		if bytes.Contains(text, []byte(k.has)) {
			return k.kind
		}
	}
	return ""
}

func (r *faultRun) strikeNow(f *fault, sidecar int) {
	r.mu.Lock()
	f.struck = true
	r.mu.Unlock()
	r.strike(f, sidecar)
}

// tell counts a fault that strikes.
func (r *faultRun) tell(f *fault, sidecar int) {
	name := f.kind + ", " + cmp.Or(f.step, "at any time")
	if f.waits {
		name = "stop for a whole lease, " + cmp.Or(f.step, "at any time")
	}
	r.note("FAULT %s: sidecar %d for %v", name, sidecar, f.lasts)
	r.count("fault: " + name)
	r.count("faults")
}

// strike is of the run's own goroutine.
func (r *faultRun) strike(f *fault, sidecar int) {
	r.tell(f, sidecar)
	s := r.sidecars[sidecar]
	heal := r.now() + f.lasts
	switch f.kind {
	case "kill":
		s.kill()
		r.later(heal, func() { r.restart(s) })
	case "terminate":
		if s.isStopped() {
			return
		}
		s.signal(syscall.SIGTERM)
		r.later(heal, func() { s.kill(); r.restart(s) })
	case "stop":
		r.stop(f, s, heal)
	case "reload":
		s.reload()
	case "app down":
		r.app.down()
		r.later(heal, func() {
			if len(r.app.servers) == 0 {
				r.app.up()
			}
		})
	case "store killed":
		r.killStore(heal)
	case "clock forward":
		r.jump(r.timeout + leaseMargin + time.Second)
	case "clock back":
		r.jump(-time.Hour)
	}
}

// restart starts a sidecar that was killed; while another is stopped, not yet:
// it may hold what the new one needs to start.
func (r *faultRun) restart(s *faultSidecar) {
	for _, other := range r.sidecars {
		if other.isStopped() {
			r.later(r.now()+50*time.Millisecond, func() { r.restart(s) })
			return
		}
	}
	if s.url() == "" {
		s.sync = false
		s.start()
	}
}

// stop keeps a sidecar from running until others have taken over what it had
// claimed.
func (r *faultRun) stop(f *fault, s *faultSidecar, heal time.Duration) {
	s.signal(syscall.SIGSTOP)
	var again func()
	again = func() {
		if r.age(); r.now() < heal {
			r.later(r.now()+50*time.Millisecond, again)
		}
	}
	if !f.waits {
		r.later(r.now()+r.timeout+ageSlack, again)
	}
	resume := sync.OnceFunc(func() {
		r.note("sidecar %d: goes on", s.n)
		s.signal(syscall.SIGCONT)
		close(f.resumed)
	})
	r.later(heal, resume)
	if f.amid {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stopped, r.resume = s.n, resume
	}
}

// amid is called where an attempt is under way. The sidecar that it was taken
// over from, if it is to, goes on, and has the time to do what it was about to.
func (r *faultRun) amid(sidecar int, key string, fence int64) {
	r.mu.Lock()
	resume := r.resume
	if fence < 2 || r.stopped == sidecar {
		resume = nil
	}
	if resume != nil {
		r.resume = nil
	}
	r.mu.Unlock()
	if resume != nil {
		r.count("stopped sidecars that went on beside their successor")
		resume()
		r.pause(nil, 50*time.Millisecond)
		kept, _ := r.store.kept(r.t.Context(), r.route) // empty when it cannot be asked
		if d := kept[key]; d.fence == fence && (d.state == stateDone || d.state == stateDead) {
			r.t.Errorf("%s: the sidecar that had been stopped settled the claim of its successor: state %d", key, d.state)
		}
	}
}

func (r *faultRun) killStore(heal time.Duration) {
	if r.setup.store == "redis" {
		r.lane.redis.Kill()
		r.later(heal, r.lane.redis.Start)
		return
	}
	r.lane.postgres.Kill()
	r.later(heal, r.lane.postgres.Start)
}

// jump moves the store's clock.
func (r *faultRun) jump(d time.Duration) {
	if d < 0 {
		r.wentBack = r.now()
	}
	var err error
	if rows, ok := r.store.(*sqlFaults); ok && r.setup.store == "sqlite" {
		// It reads the clock of the sidecar itself.
		err = rows.shift(r.t.Context(), r.route, -d)
	} else {
		err = r.lane.clock.move(d)
	}
	if err != nil {
		r.note("clock: %v", err)
	}
}
