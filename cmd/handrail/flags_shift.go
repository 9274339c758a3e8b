package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/handrail-go/handrail/flags"
)

// shiftSample is how many made-up users a change is tried on. The share that it
// tells is right to about a third of a percent.
const shiftSample = 100_000

// shift tells what share of users a change of a definition adds and takes away.
// It is not ok where that cannot be told.
func shift(key string, before, after json.RawMessage) (text string, ok bool) {
	old, now := definitionSet(key, before), definitionSet(key, after)
	if old == nil || now == nil {
		return "", false
	}
	gain, lose := 0, 0
	for i := range shiftSample {
		id := "sample-" + strconv.Itoa(i)
		was, is := old.Enabled(key, id), now.Enabled(key, id)
		if is && !was {
			gain++
		}
		if was && !is {
			lose++
		}
	}
	return fmt.Sprintf("of the users on no list, %s it and %s it", shareOf(gain, "gain", "gains"), shareOf(lose, "lose", "loses")), true
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

func shareOf(n int, many, one string) string {
	switch n {
	case 0:
		return "nobody " + one
	case shiftSample:
		return "everybody " + one
	}
	return fmt.Sprintf("about %s%% %s", strconv.FormatFloat(float64(n)*100/shiftSample, 'f', 1, 64), many)
}
