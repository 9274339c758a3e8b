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

// readDelivery reads what delivery.lua describes; nothing is the zero Record.
func readDelivery(text string) (webhook.Record, error) {
	if text == "" {
		return webhook.Record{}, nil
	}
	line, answer, _ := strings.Cut(text, "\n")
	words := strings.Split(line, " ")
	if len(words) != 8 || words[0] != "delivery" {
		return webhook.Record{}, errOddReply
	}
	state, err1 := strconv.ParseUint(words[1], 10, 8)
	fence, err2 := strconv.ParseInt(words[2], 10, 64)
	digest, err3 := hex.DecodeString(words[7])
	r := webhook.Record{
		State: webhook.State(state), Fence: fence, Attempt: int(fence), MaybeProcessed: words[3] == "1",
	}
	if n := copy(r.BodyDigest[:], digest); err1 != nil || err2 != nil || err3 != nil || n != len(r.BodyDigest) {
		return webhook.Record{}, errOddReply
	}
	var err error
	r.Answer, err = readAnswer(answer)
	return r, err
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
