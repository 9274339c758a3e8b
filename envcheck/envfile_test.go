package envcheck_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/envcheck"
)

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEnvFileReads(t *testing.T) {
	for name, tc := range map[string]struct {
		file string
		want map[string]string
	}{
		"plain":                                    {"A=b\n", map[string]string{"A": "b"}},
		"no final line end":                        {"A=b", map[string]string{"A": "b"}},
		"spaces around":                            {"  A = b c  \n", map[string]string{"A": "b c"}},
		"export":                                   {"export A=b", map[string]string{"A": "b"}},
		"a variable named export":                  {"export=b\nexport = c", map[string]string{"export": "c"}},
		"CRLF":                                     {"A=b\r\nB='c'\r\n", map[string]string{"A": "b", "B": "c"}},
		"byte order mark":                          {"\xef\xbb\xbfA=b", map[string]string{"A": "b"}},
		"comment at the first # behind a space":    {"A=b #c #d", map[string]string{"A": "b"}},
		"# inside a word is no comment":            {"A=b#c", map[string]string{"A": "b#c"}},
		"only a comment":                           {"A= # c", map[string]string{"A": ""}},
		"empty":                                    {"A=\nB=''\n", map[string]string{"A": "", "B": ""}},
		"comment behind a quote":                   {"A='b' # c\nB=\"d\"# e", map[string]string{"A": "b", "B": "d"}},
		"single quotes are literal":                {`A='$B \n "\'`, map[string]string{"A": `$B \n "\`}},
		"backticks are literal":                    {"A=`$B 'x' \"y\"`", map[string]string{"A": `$B 'x' "y"`}},
		"double quotes escape":                     {`A="a\nb\"c\\d\$e"`, map[string]string{"A": "a\nb\"c\\d$e"}},
		"escaped quotes at the ends stay":          {`A="\"a\""`, map[string]string{"A": `"a"`}},
		"an escaped backslash before the end":      {`A="C:\\"`, map[string]string{"A": `C:\`}},
		"unknown escapes stay":                     {`A="C:\temp"`, map[string]string{"A": `C:\temp`}},
		"several lines":                            {"A=\"x\ny\"\nB='x\ny'\nC=z", map[string]string{"A": "x\ny", "B": "x\ny", "C": "z"}},
		"the last one of a name wins":              {"A=b\nA=c", map[string]string{"A": "c"}},
		"references":                               {"A=b\nC=$A-${A}\nD=\"${A}\"", map[string]string{"A": "b", "C": "b-b", "D": "b"}},
		"escaped reference":                        {`A=\$B`, map[string]string{"A": "$B"}},
		"a $ that refers to nothing":               {"A=a$1$\nB=\"$$ $\"", map[string]string{"A": "a$1$", "B": "$$ $"}},
		"default when undefined":                   {"A=${X:-y}${X-z}", map[string]string{"A": "yz"}},
		"- keeps what is defined as empty":         {"X=\nA=${X-y}\nB=${X:-y}", map[string]string{"X": "", "A": "", "B": "y"}},
		"nested default":                           {"B=b\nA=${X:-${Y-${B}}}}", map[string]string{"B": "b", "A": "b}"}},
		"names with dots and hyphens":              {"a.b=1\nc-d=2", map[string]string{"a.b": "1", "c-d": "2"}},
		"an equals sign and quotes inside a value": {`A=b=c"d"`, map[string]string{"A": `b=c"d"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := envcheck.ReadEnvFile(writeFile(t, ".env", tc.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEnvFileMistakesHavePositionsAndQuoteNothing(t *testing.T) {
	const secret = "QZXJKVWQ"
	for name, tc := range map[string]struct {
		file string
		want []string // line:column: start of the reason
	}{
		"unclosed double quote":   {"A=1\nB=\"" + secret + "\nC=2", []string{"2:3: the quote is never closed"}},
		"unclosed single quote":   {"B='" + secret, []string{"1:3: the quote is never closed"}},
		"text behind a quote":     {"B='" + secret + "'" + secret, []string{"1:13: unexpected text"}},
		"no name":                 {"=" + secret, []string{"1:1: expected the name"}},
		"a name that is none":     {"1" + secret + "=a", []string{"1:1: expected the name"}},
		"no equals sign":          {secret + ": a", []string{"1:9: expected ="}},
		"two words":               {secret + " b=c", []string{"1:10: expected ="}},
		"undefined reference":     {"A=pa$" + secret, []string{"1:1: refers to a variable"}},
		"undefined in quotes":     {"A=\"${" + secret + "}\"", []string{"1:1: refers to a variable"}},
		"command":                 {"A=$(" + secret + ")", []string{"1:1: command substitution is refused"}},
		"malformed reference":     {"A=${" + secret + "?x}", []string{"1:1: malformed reference"}},
		"unclosed reference":      {"A=${" + secret, []string{"1:1: malformed reference"}},
		"# right behind =":        {"A=#" + secret, []string{"1:3: a value that begins with #"}},
		"zero byte":               {"A=" + secret + "\x00", []string{"1:11: zero byte"}},
		"escape byte":             {"A=1\nB=\x1b[31m" + secret, []string{"2:3: control byte"}},
		"not UTF-8":               {"A=" + secret + "\xff", []string{"1:11: not UTF-8"}},
		"all mistakes of a file":  {"=\nA=1\n" + secret + "\nB='", []string{"1:1: ", "3:9: ", "4:3: "}},
		"lines behind a mistake":  {"A=\"x\ny\"" + secret + "\n=", []string{"2:3: unexpected", "3:1: "}},
		"doubling grows too long": {"A=" + secret + strings.Repeat("\nA=$A$A", 15), []string{"16:1: grows beyond"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "e", tc.file)
			_, err := envcheck.ReadEnvFile(path)
			checkMistakes(t, err, path, tc.want)
			if err != nil && strings.Contains(err.Error(), secret[:4]) {
				t.Errorf("quotes the file: %v", err)
			}
		})
	}
}

// checkMistakes compares an error with "line:column: start of the reason" of all
// mistakes.
func checkMistakes(t *testing.T, err error, file string, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if _, ok := errors.AsType[*envcheck.SyntaxError](err); !ok {
		t.Errorf("no *SyntaxError in %v", err)
	}
	got := strings.Split(err.Error(), "\n")
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("unexpected %s", got[i])
		case i >= len(got):
			t.Errorf("missing %s", want[i])
		case !strings.HasPrefix(got[i], file+":"+want[i]):
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

func TestEnvFilesPrecedence(t *testing.T) {
	a := writeFile(t, "a", "ONE=a\nTWO=a\nTHREE=a\nEMPTY=a\nREF=$ONE")
	b := writeFile(t, "b", "TWO=b\nSEEN=$THREE")
	process := map[string]string{"ONE": "p", "EMPTY": "", "OTHER": "p", "NONE": ""}
	got, err := envcheck.ReadEnvFiles(process, a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"ONE": "p", "TWO": "b", "THREE": "a", "EMPTY": "a", "REF": "p", "SEEN": "a", "OTHER": "p", "NONE": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEnvFileIsBounded(t *testing.T) {
	path := writeFile(t, "big", "A="+strings.Repeat("x", envcheck.MaxFileBytes))
	if _, err := envcheck.ReadEnvFile(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
	path = writeFile(t, "many", strings.Repeat("=\n", 5000))
	if _, err := envcheck.ReadEnvFile(path); err == nil || strings.Count(err.Error(), "\n") > 100 {
		t.Error("mistakes are not bounded")
	}
}

func TestEnvFileMissing(t *testing.T) {
	_, err := envcheck.ReadEnvFile(filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Scenarios of the dotenvx comparison report, as all tools are measured there:
// MACHINE=machine is in the process environment.
func TestPublishedScenarios(t *testing.T) {
	const path = "../../shared/corpus/dotenv/scenarios.jsonl"
	f, err := os.Open(path)
	if err != nil {
		t.Skipf("skipped: the published scenarios are not at %s", path)
	}
	defer f.Close()
	// What is missed on purpose, and why.
	missed := map[string]string{
		"504_EXPAND_PARENTHESES":                  "executes a command",
		"505_EXPAND_RETAIN_INNER_QUOTES":          "executes a command",
		"601_EVAL":                                "executes a command",
		"310_DOUBLE_QUOTES_WITH_NO_SPACE_BRACKET": "wants an undefined reference to be silently empty",
		"509_EXPAND_SELF":                         "wants an undefined reference to be silently empty",
		"902_UTF16LE":                             "not UTF-8",
		"":                                        "",
	}
	classes := map[byte]string{'1': "plain", '2': "single quotes", '3': "double quotes", '4': "backticks",
		'5': "expansion", '6': "command", '9': "encoding"}
	passed, total := map[string]int{}, map[string]int{}
	sum, best := 0, 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var s struct {
			ID, Env  string
			Expected map[string]string
			Passes   []string
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		class := classes[s.ID[0]]
		total[class]++
		if strings.Contains(strings.Join(s.Passes, " "), "docker-compose") {
			best++
		}
		env, err := envcheck.ReadEnvFiles(map[string]string{"MACHINE": "machine"}, writeFile(t, ".env", s.Env))
		ok := err == nil
		for k, v := range s.Expected {
			ok = ok && env[k] == v
		}
		if ok {
			passed[class]++
			sum++
		}
		if reason, known := missed[s.ID]; ok == known {
			t.Errorf("%s: passed %v, expected otherwise (%s): %v", s.ID, ok, reason, err)
		}
	}
	for _, class := range []string{"plain", "single quotes", "double quotes", "backticks", "expansion", "command", "encoding"} {
		t.Logf("%-14s %2d of %2d", class, passed[class], total[class])
	}
	t.Logf("all: %d; best Go parser of the report (docker-compose): %d", sum, best)
	if sum < 36 || sum < best {
		t.Errorf("%d scenarios pass, want at least 36", sum)
	}
}
