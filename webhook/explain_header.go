package webhook

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// headerSet are the headers by which a message is judged.
type headerSet struct {
	signature string
	form      string   // of the signature, for people
	others    []string // that must come with it
	times     []string // those of others that are times
}

func (h headerSet) all() []string { return append([]string{h.signature}, h.others...) }

// headers are those that the scheme reads. Of two families it is the one that
// more of is there.
func (s *search) headers() headerSet {
	switch sc := s.scheme.(type) {
	case *pairs:
		return headerSet{signature: sc.header, form: sc.time + "=SECONDS" + sc.separator + sc.signature + "=HEX"}
	case *linear:
		return sc.headers()
	case *template:
		return sc.headers()
	case *discord:
		return headerSet{signature: discordSignature, form: "128 hexadecimal digits", others: []string{discordTimestamp}, times: []string{discordTimestamp}}
	case *sendgrid:
		return headerSet{signature: sendgridSignature, form: "base64", others: []string{sendgridTimestamp}, times: []string{sendgridTimestamp}}
	case *twilio:
		return headerSet{signature: twilioSignature, form: "base64 of 20 bytes"}
	case *gitlab:
		if len(sc.signedAt) == 0 || len(sc.tokens) > 0 && len(s.m.Header[standardFamilies()[0].signature]) == 0 {
			return headerSet{signature: gitlabToken, form: "the secret token"}
		}
		return familyHeaders(standardFamilies()[0])
	}
	best, most := 0, 0
	for i, family := range standardFamilies() {
		n := 0
		for name := range s.m.Header {
			if slices.Contains(familyHeaders(family).all(), plainName(name)) {
				n++
			}
		}
		if n > most {
			best, most = i, n
		}
	}
	return familyHeaders(standardFamilies()[best])
}

func familyHeaders(f standardHeaders) headerSet {
	return headerSet{signature: f.signature, form: "v1,BASE64 or v1a,BASE64, several with spaces between them", others: []string{f.id, f.timestamp}, times: []string{f.timestamp}}
}

func (t *template) headers() headerSet {
	out := headerSet{signature: t.header, form: "hexadecimal digits"}
	if t.encoding != nil {
		out.form = "base64"
	}
	out.form = t.prefix + out.form + " of " + strconv.Itoa(t.size) + " bytes"
	for _, p := range t.parts {
		switch p.kind {
		case partTime:
			out.times = append(out.times, p.text)
			fallthrough
		case partHeader:
			if !slices.Contains(out.others, p.text) {
				out.others = append(out.others, p.text)
			}
		case partText, partBody, partURL:
		}
	}
	return out
}

// headerFindings say which header keeps a message from being judged.
func (s *search) headerFindings() []Finding {
	set := s.headers()
	if families := standardFamilies(); s.spec.Name == "standard" && len(s.m.Header[families[0].signature]) > 0 && len(s.m.Header[families[1].signature]) > 0 {
		return []Finding{finding("header_repeated", "The message has the headers of Standard Webhooks and those of Svix: it is not known which count.",
			"Drop one of the two where they are added.")}
	}
	switch values := s.m.Header[set.signature]; {
	case len(values) == 0 || values[0] == "":
		return s.missing(set)
	case len(values) > 1:
		return []Finding{repeated(set.signature)}
	case len(values[0]) > maxHeaderBytes:
		return []Finding{malformed(set.signature, "is longer than "+strconv.Itoa(maxHeaderBytes)+" bytes")}
	}
	for _, name := range set.others {
		values := s.m.Header[name]
		switch {
		case len(values) == 0 || values[0] == "":
			return []Finding{finding("header_missing", "The header "+name+" is missing, which is signed.", passOn(name))}
		case len(values) > 1:
			return []Finding{repeated(name)}
		case slices.Contains(set.times, name):
			if f, bad := s.timeFinding(name, values[0]); bad {
				return []Finding{f}
			}
		}
		if _, dated := s.scheme.(*standard); dated && strings.Contains(values[0], ".") {
			return []Finding{malformed(name, "holds a full stop, which parts what is signed")}
		}
	}
	if p, ok := s.scheme.(*pairs); ok {
		for pair := range strings.SplitSeq(s.m.Header[set.signature][0], p.separator) {
			if name, value, _ := strings.Cut(pair, "="); name == p.time {
				if f, bad := s.timeFinding(set.signature, value); bad {
					return []Finding{f}
				}
			}
		}
	}
	return []Finding{malformed(set.signature, "cannot be understood; expected is "+set.form)}
}

func (s *search) timeFinding(name, value string) (Finding, bool) {
	_, ok := unixSeconds(value)
	if _, templated := s.scheme.(*template); templated {
		_, ok = parseTime(value)
	}
	if ok {
		return Finding{}, false
	}
	if n, isNumber := digits(value); isNumber && n > maxUnix/100 {
		return finding("timestamp_unit", "The time in "+name+" is written in milliseconds or less, where seconds are expected.",
			"Have the sender write and sign the time in seconds."), true
	}
	return malformed(name, "does not hold a time as it is expected"), true
}

func repeated(name string) Finding {
	return finding("header_repeated", "The header "+name+" is there more than once.",
		"Something on the way adds it again. It must come once, as the provider sent it.")
}

func malformed(name, why string) Finding {
	return finding("header_malformed", "The header "+name+" "+why+".", "Pass it on as the provider sent it, and copy it whole.")
}

func passOn(name string) string {
	return "Have every proxy pass " + name + " on, and look at whether the copy of the headers is whole."
}

// missing says what is there instead of a signature.
func (s *search) missing(set headerSet) []Finding {
	absent := finding("signature_missing", "The header "+set.signature+" is missing.", unsignedRemedy(s.spec.Name)+passOn(set.signature))
	if g, ok := s.scheme.(*gitlab); ok {
		signature := standardFamilies()[0].signature
		if len(g.tokens) == 0 && len(s.m.Header[gitlabToken]) > 0 {
			return []Finding{finding("secret_kind", "The message carries a secret token, but the configuration has signing tokens only.",
				"Configure the secret token, or have GitLab sign: in the webhook's settings.")}
		}
		if len(s.m.Header[signature]) > 0 {
			return []Finding{finding("secret_kind", "The message is signed with a signing token, but the configuration has secret tokens only.",
				"Configure the signing token, "+symmetricPrefix+" and what follows.")}
		}
	}
	if s.spec.Name == "github" && len(s.m.Header["X-Hub-Signature"]) > 0 {
		return []Finding{finding("signature_missing", "There is X-Hub-Signature, which is SHA-1 and not accepted, but not "+set.signature+".",
			"GitHub sends both; "+passOn(set.signature))}
	}
	for _, p := range Providers() {
		name := p.SignatureHeader
		if name == "" && p.Name == "gitlab" {
			name = gitlabToken
		}
		if p.Name != s.spec.Name && name != "" && name != set.signature && len(s.m.Header[http.CanonicalHeaderKey(name)]) > 0 {
			return []Finding{otherProvider(p.Name, name, s.spec.Name)}
		}
	}
	for _, family := range standardFamilies() {
		if s.spec.Name != "standard" && len(s.m.Header[family.signature]) > 0 {
			return []Finding{otherProvider("standard", family.signature, s.spec.Name)}
		}
	}
	return []Finding{absent}
}

func otherProvider(name, header, configured string) Finding {
	return finding("other_provider", "This looks like "+name+"'s "+header+"; the route's provider is "+configured+".",
		"Set the route's provider to "+name+", or have the provider deliver to another route.")
}

func unsignedRemedy(provider string) string {
	switch provider {
	case "github", "gitlab", "linear":
		return "Set a secret in the provider's settings of the webhook: without one it does not sign. "
	case "sendgrid":
		return "Turn signature verification on in the provider's settings of the event webhook. "
	}
	return ""
}
