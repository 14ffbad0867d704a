package config

import (
	"fmt"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Setting is one key of the configuration.
type Setting struct {
	Key   string `json:"key"`   // section.key
	Value any    `json:"value"` // as TOML has it
	Text  string `json:"-"`     // as the environment has it
	// From is the variable or the path of the file that sets it, "node.profile" for a
	// default of the profile, or "default".
	From string `json:"from"`
}

// Values gives the value of each key, as TOML has it.
func Values(c Config) map[string]any {
	all := map[string]any{}
	for _, s := range settings(&c) {
		all[s.key] = s.value.Interface()
	}
	return all
}

// Sources says of each key of a configuration that [Load] gave, without flags, where its
// value comes from.
func Sources(c Config, path string, environ []string) ([]Setting, error) {
	inFile := map[string]map[string]any{}
	if path != "" {
		doc, err := os.ReadFile(path)
		if err == nil {
			err = toml.Unmarshal(doc, &inFile)
		}
		if err != nil {
			return nil, fmt.Errorf("read the configuration again: %w", err)
		}
	}
	set := map[string]bool{}
	for section, keys := range inFile {
		for key := range keys {
			set[strings.ToLower(section+"."+key)] = true // as the decoder reads it
		}
	}
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		set[name] = true
	}
	defaults := Default()
	byDefault := settings(&defaults)
	var all []Setting
	for i, s := range settings(&c) {
		one := Setting{Key: s.key, Value: s.value.Interface(), Text: s.String(), From: "default"}
		switch {
		case set[s.env()]:
			one.From = s.env()
		case set[s.key]:
			one.From = path
		case one.Text != byDefault[i].String():
			one.From = "node.profile"
		}
		all = append(all, one)
	}
	return all, nil
}
