package redisstore

import (
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

var errOddReply = errors.New("the script did not answer as ours do")

// delivery is what delivery.lua describes. Of a line that does not tell when it
// was written updated is zero.
type delivery struct {
	webhook.Record
	lease, updated time.Time
	retention      time.Duration
}

// readDelivery reads what delivery.lua describes; nothing is the zero delivery.
func readDelivery(text string) (delivery, error) {
	if text == "" {
		return delivery{}, nil
	}
	line, answer, _ := strings.Cut(text, "\n")
	words := strings.Split(line, " ")
	if words[0] != "delivery" || len(words) != 8 && len(words) != 10 {
		return delivery{}, errOddReply
	}
	var err error
	number := func(word string) int64 {
		n, e := strconv.ParseUint(word, 10, 63)
		err = errors.Join(err, e)
		return int64(n)
	}
	d := delivery{
		Record:    webhook.Record{Fence: number(words[2]), MaybeProcessed: words[3] == "1"},
		lease:     time.UnixMilli(number(words[4])),
		retention: time.Duration(number(words[5])) * time.Millisecond,
	}
	d.Attempt = int(d.Fence)
	if len(words) == 10 {
		d.Attempt, d.updated = int(number(words[8])), time.UnixMilli(number(words[9]))
	}
	state := number(words[1])
	d.State = webhook.State(state)
	digest, e := hex.DecodeString(words[7])
	copy(d.BodyDigest[:], digest)
	if err != nil || e != nil || len(digest) != len(d.BodyDigest) || state < 1 || state > 4 {
		return delivery{}, errOddReply
	}
	d.Answer, err = readAnswer(answer)
	return d, err
}

// entry is a delivery as a ledger tells of it.
func (d delivery) entry(key string) webhook.Entry {
	e := webhook.Entry{Key: key, Record: d.Record, Updated: d.updated}
	switch {
	case d.State == webhook.StateClaimed:
		e.LeaseUntil, e.Expires = d.lease, d.lease.Add(d.retention)
	case !d.updated.IsZero():
		e.Expires = d.updated.Add(d.retention)
	}
	return e
}

// writeAnswer is an answer as it is kept: its status, the length of its type,
// and then type and body as they are.
func writeAnswer(a *webhook.Answer) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(a.Status) + " " + strconv.Itoa(len(a.ContentType)) + " ")
	b.WriteString(a.ContentType)
	b.Write(a.Body)
	return b.String()
}

// readAnswer reads what writeAnswer writes; nil for nothing.
func readAnswer(text string) (*webhook.Answer, error) {
	if text == "" {
		return nil, nil
	}
	number, rest, _ := strings.Cut(text, " ")
	length, rest, _ := strings.Cut(rest, " ")
	status, err1 := strconv.Atoi(number)
	n, err2 := strconv.ParseUint(length, 10, 31)
	if err1 != nil || err2 != nil || int(n) > len(rest) {
		return nil, errOddReply
	}
	a := &webhook.Answer{Status: status, ContentType: rest[:n]}
	if len(rest) > int(n) {
		a.Body = []byte(rest[n:])
	}
	return a, nil
}

// readClaim reads the reply of claim.lua to req.
func readClaim(reply any, req webhook.ClaimRequest) (webhook.Claim, error) {
	values, _ := reply.([]any)
	if len(values) != 3 {
		return webhook.Claim{}, errOddReply
	}
	taken, ok1 := values[0].(int64)
	text, ok2 := values[1].(string)
	left, ok3 := values[2].(int64)
	r, err := readDelivery(text)
	if err != nil || !ok1 || !ok2 || !ok3 {
		return webhook.Claim{}, errOddReply
	}
	c := webhook.Claim{
		Fence: r.Fence, Attempt: r.Attempt, MaybeProcessed: r.MaybeProcessed,
		BodyChanged: r.BodyDigest != req.BodyDigest,
	}
	switch {
	case taken == 1:
		c.Status = webhook.Claimed
	case c.BodyChanged && req.SameBody:
		c.Status = webhook.OtherBody
	case r.State == webhook.StateDone:
		c.Status, c.Answer = webhook.Done, r.Answer
	case r.State == webhook.StateDead:
		c.Status = webhook.Dead
	default:
		c.Status, c.LeaseLeft = webhook.InFlight, time.Duration(left)*time.Millisecond
	}
	return c, nil
}
