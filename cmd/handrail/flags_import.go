package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/handrail-go/handrail/flags"
	"github.com/handrail-go/handrail/internal/adminclient"
	"github.com/handrail-go/handrail/internal/filewatch"
	"github.com/handrail-go/handrail/internal/sidecar"
)

// flagImportFlags are the flags of "flags import".
type flagImportFlags struct {
	adminFlags
	format            formatFlag
	actor             string
	overwrite, dryRun bool
}

func (c *command) flagsImportCommand() *cobra.Command {
	var f flagImportFlags
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Put a file of definitions where a running sidecar has its flags from",
		Long: `import makes the flags of FILE, or of standard input for -, where the sidecar that
is asked has its definitions from: after a move from a file to Redis, for example,
where there are none yet. What is wrong with FILE is told with file, line and
column, and the exit code is 78. Only Handrail's own format is imported.

Flags that are there and the same are left alone. If one differs, nothing is
imported and the exit code is 1, unless --overwrite has the file's take its
place. Flags that are there and not in FILE are kept. All of it is one write:
either everything is imported or nothing. To repeat it is safe, and changes
nothing when all is there: do so when it breaks off without an answer.

Where no flag is there that FILE has not, the definitions are FILE from then on,
comments and all. Otherwise FILE's flags are edited into what is there, or, where
that is too much or impossible, what is there into FILE.

The audit log has a line for each flag that is new or overwritten. Changes need
the admin token (HANDRAIL_ADMIN_TOKEN, or admin.token of the configuration), or
the admin socket.`,
		Example: `  handrail flags import flags.yaml --dry-run
  handrail flags import flags.yaml
  handrail flags import flags.yaml --overwrite --actor ann`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.format.check(); err != nil {
				return err
			}
			actor, err := actorOrUser(f.actor, c.getenv)
			if err != nil {
				return err
			}
			text, err := c.readToImport(args[0])
			if err != nil {
				return &exitError{code: exitConfig, err: fmt.Errorf("invalid definitions of flags\n%w", err)}
			}
			a, err := f.asker(cmd, c.getenv)
			if err != nil {
				return err
			}
			a.client.SetHeader(sidecar.ActorHeader, actor)
			out, err := f.send(a, text)
			if err != nil {
				return err
			}
			if f.format == formatJSON {
				return c.printJSON(out)
			}
			c.printImport(out, f.dryRun)
			return nil
		},
	}
	f.addAll(cmd)
	return cmd
}

func (f *flagImportFlags) addAll(cmd *cobra.Command) {
	f.add(cmd)
	f.format.add(cmd)
	fs := cmd.Flags()
	fs.BoolVar(&f.overwrite, "overwrite", false, "have the file's take the place of flags that differ")
	fs.StringVar(&f.actor, "actor", "", "who makes the change, for the audit log (default $USER)")
	fs.BoolVar(&f.dryRun, "dry-run", false, "change nothing, tell what would change")
}

// readToImport is the text of a file of native definitions that are right.
func (c *command) readToImport(name string) (text []byte, err error) {
	shown := name
	if name == standardInput {
		shown = "standard input"
		text, err = io.ReadAll(io.LimitReader(c.stdin, flags.MaxFileBytes+1))
	} else {
		text, err = filewatch.Read(name, flags.MaxFileBytes)
	}
	wrong := &flags.DefinitionError{File: shown}
	switch {
	case errors.Is(err, filewatch.ErrTooLarge), len(text) > flags.MaxFileBytes:
		wrong.Reason = fmt.Sprintf("is larger than %d MiB", flags.MaxFileBytes>>20)
	case err != nil:
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // the name stands before it
		}
		wrong.Reason = "cannot be read: " + err.Error()
	case !utf8.Valid(text):
		wrong.Reason = "is not UTF-8"
	default:
		set, err := sidecar.ParseFlags(shown, text)
		if err != nil {
			return nil, err
		}
		if keys := set.Keys(); len(keys) > 0 && set.Native(keys[0]) {
			return text, nil
		}
		if wrong.Reason = "is in the format of flagd: only Handrail's own is imported"; set.Len() == 0 {
			wrong.Reason = "holds no flag"
		}
	}
	return nil, wrong
}

func (f *flagImportFlags) send(a asker, text []byte) (out sidecar.FlagsImported, err error) {
	var asked []string
	if f.overwrite {
		asked = append(asked, "overwrite=true")
	}
	if f.dryRun {
		asked = append(asked, "dry_run=true")
	}
	path := sidecar.FlagsImportPath
	if len(asked) > 0 {
		path += "?" + strings.Join(asked, "&")
	}
	err = a.do("POST", path, sidecar.FlagsToImport{Definitions: string(text)}, &out)
	if refused, ok := errors.AsType[*adminclient.AnswerError](err); ok && refused.Code == "flags_differ" {
		refused.Detail += "; --overwrite has the file's take their place, and with --dry-run it tells how they differ"
	}
	return out, err
}

func (c *command) printImport(out sidecar.FlagsImported, dryRun bool) {
	tell := func(keys []string, what string) {
		if len(keys) > 0 {
			fmt.Fprintf(c.stdout, "%d %s: %s\n", len(keys), what, keyList(keys))
		}
	}
	tell(out.New, "new")
	for _, one := range out.Overwritten {
		for _, field := range one.Fields {
			fmt.Fprintf(c.stdout, "%s: %s\n", adminclient.Printable(one.Key), adminclient.Printable(field.Field+" "+field.Before+" → "+field.After))
		}
	}
	tell(overwritten(out), "overwritten")
	tell(out.Same, "there already")
	tell(out.Kept, "not in the file, and kept")
	switch {
	case dryRun:
		fmt.Fprintln(c.stdout, "nothing was changed")
	case !out.Changed:
		fmt.Fprintln(c.stdout, "unchanged: it is so already")
	case !out.InForce:
		fmt.Fprintln(c.stdout, "written, but not in force yet: the sidecar's log says why")
	}
}

func overwritten(out sidecar.FlagsImported) (keys []string) {
	for _, one := range out.Overwritten {
		keys = append(keys, one.Key)
	}
	return keys
}

// actorOrUser is who makes a change, for the audit log.
func actorOrUser(actor string, getenv func(string) string) (string, error) {
	if actor == "" {
		actor = getenv("USER")
	}
	if strings.ContainsFunc(actor, unprintable) {
		return "", errors.New("--actor is not text that can be printed")
	}
	return actor, nil
}
