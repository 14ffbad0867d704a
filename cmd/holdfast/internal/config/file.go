package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// readConfigFile overlays the TOML file at path on c. Its error names the line and the key,
// and all unknown keys at once.
func readConfigFile(path string, c *Config) error {
	doc, err := os.ReadFile(path)
	if err != nil {
		return hint.Add(fmt.Errorf("read the configuration: %w", err),
			"--config and HOLDFAST_CONFIG name the file; without either, the defaults are used")
	}
	err = toml.NewDecoder(bytes.NewReader(doc)).DisallowUnknownFields().Decode(c)
	if unknown, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		var errs []error
		for _, e := range unknown.Errors {
			row, _ := e.Position()
			errs = append(errs, fmt.Errorf("%s:%d: %s", path, row, unknownKey(strings.Join(e.Key(), "."))))
		}
		return errors.Join(errs...)
	}
	if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, _ := bad.Position()
		return fmt.Errorf("%s:%d: %s", path, row, whatIsWrong(doc, row, bad))
	}
	if err != nil { // a key that stands there twice
		return fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "toml: "))
	}
	return nil
}

// whatIsWrong words a decoder's error for operators, without the names of Go types.
func whatIsWrong(doc []byte, row int, bad *toml.DecodeError) string {
	msg := strings.TrimPrefix(bad.Error(), "toml: ")
	key := keyAt(doc, row)
	s, ok := findSetting(key)
	switch {
	case !ok:
		return msg
	case strings.HasPrefix(msg, "cannot decode"):
		return fmt.Sprintf("%s: want %s", key, s.want())
	}
	return fmt.Sprintf("%s: %s", key, msg)
}

// keyAt finds the key whose value is on a line, counted from 1: the decoder gives only the
// line. It gives "" if there is none.
func keyAt(doc []byte, row int) string {
	var section, key string
	for _, line := range strings.SplitAfterN(string(doc), "\n", row+1)[:row] {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok && !strings.Contains(line, "=") {
			if name, _, ok := strings.Cut(name, "]"); ok {
				section, key = strings.TrimSpace(name), ""
			}
			continue
		}
		if name, _, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			key = strings.TrimSpace(name)
		}
	}
	if section == "" || key == "" {
		return key
	}
	return section + "." + key
}

// unknownKey words the error about an unknown key, with the key that was perhaps meant.
func unknownKey(key string) string {
	if near := nearest(key, settingKeys()); near != "" {
		return fmt.Sprintf("unknown key %s; did you mean %s?", key, near)
	}
	return "unknown key " + key
}
