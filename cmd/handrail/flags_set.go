package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/sidecar"
)

// flagChangeFlags are the flags of "flags set".
type flagChangeFlags struct {
	adminFlags
	format              formatFlag
	enable, disable     bool
	allow, deny, remove []string
	expires             string
	ifVersion           string
	actor               string
	dryRun              bool
}

func (c *command) flagsSetCommand() *cobra.Command {
	var f flagChangeFlags
	cmd := &cobra.Command{
		Use:   "set KEY [PERCENT% | on | off]",
		Short: "Change a flag of a running sidecar",
		Long: `set changes one flag where the sidecar that is asked has its definitions from, and
tells what it was before. The change is in force in that sidecar when set ends;
others follow within seconds. It is in the audit log.

PERCENT is rolloutPercentage, 0 to 100 with up to three decimals. on and off are
--enable and --disable, the kill switch: on does not raise a percentage. --allow
takes an ID off the deny list as well, --deny off the allow list.

A flag that somebody changed since set looked at it is not changed: exit code 1.
To turn a flag off, with nothing else, goes ahead all the same, unless
--if-version is given. Nothing is asked: look with --dry-run first, which tells
what share of users it would add and take away.

Changes need the admin token (HANDRAIL_ADMIN_TOKEN, or admin.token of the
configuration), or the admin socket.`,
		Example: `  handrail flags set new-checkout 10% --dry-run
  handrail flags set new-checkout 10%
  handrail flags set new-checkout off
  handrail flags set new-checkout --allow user-7 --remove user-8 --actor ann`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.format.check(); err != nil {
				return err
			}
			if f.ifVersion != "" && !versionForm.MatchString(f.ifVersion) {
				return fmt.Errorf("--if-version %q is no version of a flag: list tells it in JSON", f.ifVersion)
			}
			change, err := f.change(args[1:])
			if err != nil {
				return err
			}
			a, err := f.asker(cmd, c.getenv)
			if err != nil {
				return err
			}
			out, err := f.set(a, args[0], change, c.getenv)
			if err != nil {
				return err
			}
			if f.format == formatJSON {
				return c.printJSON(out)
			}
			c.printChange(out, f.dryRun)
			return nil
		},
	}
	f.addAll(cmd)
	return cmd
}

func (f *flagChangeFlags) addAll(cmd *cobra.Command) {
	f.add(cmd)
	f.format.add(cmd)
	fs := cmd.Flags()
	fs.BoolVar(&f.enable, "enable", false, "enabled: true")
	fs.BoolVar(&f.disable, "disable", false, "enabled: false")
	fs.StringArrayVar(&f.allow, "allow", nil, "put an `ID` on the allow list")
	fs.StringArrayVar(&f.deny, "deny", nil, "put an `ID` on the deny list")
	fs.StringArrayVar(&f.remove, "remove", nil, "take an `ID` off both lists")
	fs.StringVar(&f.expires, "expires", "", "the last `day` of the flag, such as 2027-01-31, or none")
	fs.StringVar(&f.ifVersion, "if-version", "", "only if the flag has this `version`, as list tells it in JSON")
	fs.StringVar(&f.actor, "actor", "", "who makes the change, for the audit log (default $USER)")
	fs.BoolVar(&f.dryRun, "dry-run", false, "change nothing, tell what would change")
}

var versionForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

var percentForm = regexp.MustCompile(`^(100(?:\.0{1,3})?|[1-9]?[0-9](?:\.[0-9]{1,3})?)%?$`)

// change is the body of the request.
func (f *flagChangeFlags) change(args []string) (map[string]any, error) {
	change := map[string]any{}
	enable, disable := f.enable, f.disable
	if len(args) == 1 {
		switch m := percentForm.FindStringSubmatch(args[0]); {
		case args[0] == "on":
			enable = true
		case args[0] == "off":
			disable = true
		case m != nil:
			change["rolloutPercentage"] = json.Number(m[1])
		default:
			return nil, fmt.Errorf("%q is none of on, off and a percentage from 0%% to 100%% with at most three decimals", args[0])
		}
	}
	if enable && disable {
		return nil, errors.New("on or off, not both")
	}
	if enable || disable {
		change["enabled"] = enable
	}
	for name, ids := range map[string][]string{"allow": f.allow, "deny": f.deny, "remove": f.remove} {
		if slices.Contains(ids, "") {
			return nil, fmt.Errorf("--%s needs an ID", name)
		}
		if len(ids) > 0 {
			change[name] = ids
		}
	}
	switch f.expires {
	case "":
	case "none":
		change["expires"] = nil
	default:
		change["expires"] = f.expires
	}
	if len(change) == 0 {
		return nil, errors.New("say what to change: a percentage, on, off, or one of --allow, --deny, --remove and --expires")
	}
	for _, id := range f.allow {
		if slices.Contains(f.deny, id) || slices.Contains(f.remove, id) {
			return nil, errors.New("an ID is both in --allow and in --deny or --remove")
		}
	}
	for _, id := range f.deny {
		if slices.Contains(f.remove, id) {
			return nil, errors.New("an ID is both in --deny and --remove")
		}
	}
	return change, nil
}

// set makes the change to the version that the flag has now, or that was given.
func (f *flagChangeFlags) set(a asker, key string, change map[string]any, getenv func(string) string) (out sidecar.FlagChanged, err error) {
	match := "*"
	if f.ifVersion != "" {
		match = `"` + f.ifVersion + `"`
	} else if off, ok := change["enabled"].(bool); !ok || off || len(change) > 1 {
		var state sidecar.FlagState
		if err := a.do("GET", flagPath(key), nil, &state); err != nil {
			return out, err
		}
		match = `"` + state.Version + `"`
	}
	a.client.SetHeader("If-Match", match)
	actor := f.actor
	if actor == "" {
		actor = getenv("USER")
	}
	if strings.ContainsFunc(actor, unprintable) {
		return out, errors.New("--actor is not text that can be printed")
	}
	a.client.SetHeader(sidecar.ActorHeader, actor)
	path := flagPath(key)
	if f.dryRun {
		path += "?dry_run=true"
	}
	err = a.do("PATCH", path, change, &out)
	return out, err
}

func (c *command) printChange(out sidecar.FlagChanged, dryRun bool) {
	key := adminclient.Printable(out.Key)
	before, after := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	_ = json.Unmarshal(out.Before, &before) // null is none
	_ = json.Unmarshal(out.After, &after)
	different := false
	for _, name := range slices.Sorted(maps.Keys(settingDefaults)) {
		was, is := orDefault(before, name), orDefault(after, name)
		if was != is {
			different = true
			fmt.Fprintf(c.stdout, "%s: %s\n", key, difference(name, was, is))
		}
	}
	if !different {
		fmt.Fprintf(c.stdout, "%s: unchanged: it is so already\n", key)
		return
	}
	if text, ok := shift(out.Key, out.Before, out.After); ok {
		fmt.Fprintln(c.stdout, text)
	}
	switch {
	case dryRun:
		fmt.Fprintln(c.stdout, "nothing was changed")
	case !out.InForce:
		fmt.Fprintln(c.stdout, "written, but not in force yet: the sidecar's log says why")
	}
}

// shift tells what share of users a change of a definition adds and takes away.
// It is not ok where that cannot be told.
func shift(key string, before, after json.RawMessage) (text string, ok bool) {
	old, now := definitionSet(key, before), definitionSet(key, after)
	if old == nil || now == nil {
		return "", false
	}
	c := flags.Comparison{} // of what is the same
	if all := now.Compare(old); len(all) > 0 {
		c = all[0]
	}
	return fmt.Sprintf("of the users on no list, %s it and %s it", shareOf(c.Gain, "gain", "gains"), shareOf(c.Lose, "lose", "loses")), true
}

// definitionSet holds one flag; nil when it cannot be read.
func definitionSet(key string, definition json.RawMessage) *flags.Set {
	settings := map[string]json.RawMessage{}
	if json.Unmarshal(definition, &settings) != nil || settings == nil {
		return nil
	}
	if _, ok := settings["enabled"]; !ok {
		settings["enabled"] = json.RawMessage("true") // none at all would be an error
	}
	data, err := json.Marshal(map[string]any{key: settings})
	if err != nil {
		return nil
	}
	set, err := flags.Parse("", data)
	if err != nil {
		return nil
	}
	return set
}

// shareOf tells a share of users with one decimal, or with those that it needs.
func shareOf(share float64, many, one string) string {
	decimals := 1
	switch {
	case share == 0:
		return "nobody " + one
	case share == 1:
		return "everybody " + one
	case share < 0.001 || share > 0.999:
		decimals = 3
	}
	return fmt.Sprintf("about %s%% %s", strconv.FormatFloat(100*share, 'f', decimals, 64), many)
}

// settingDefaults are the settings that set can change, and what they are when
// they are not told.
var settingDefaults = map[string]string{
	"enabled": "true", "rolloutPercentage": "0", "allowList": "[]", "denyList": "[]", "expires": "none",
}

func orDefault(settings map[string]json.RawMessage, name string) string {
	var b bytes.Buffer
	if value, ok := settings[name]; ok && json.Compact(&b, value) == nil {
		return b.String()
	}
	if text, ok := settingDefaults[name]; ok {
		return text
	}
	return "none"
}

// difference is a change of one setting. Of lists it tells what came and went.
func difference(name, was, is string) string {
	var old, now []string
	if json.Unmarshal([]byte(was), &old) != nil || json.Unmarshal([]byte(is), &now) != nil {
		for _, text := range []*string{&was, &is} {
			*text = adminclient.Printable(strings.Trim(*text, `"`))
			if name == "rolloutPercentage" {
				*text = rolloutText(json.Number(*text))
			}
		}
		return name + " " + was + " → " + is
	}
	text := append(without(now, old, "+ "), without(old, now, "- ")...)
	return name + " " + strings.Join(text, ", ")
}

// without are those of list that are not among others, marked.
func without(list, others []string, mark string) []string {
	known := make(map[string]bool, len(others))
	for _, id := range others {
		known[id] = true
	}
	var out []string
	for _, id := range list {
		if !known[id] {
			out = append(out, mark+adminclient.Printable(id))
		}
	}
	return out
}
