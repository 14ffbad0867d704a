package config

import (
	"encoding"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// setting is one key of the configuration, and the field that has its value.
type setting struct {
	key   string // section.key
	value reflect.Value
	flag  bool
	usage string
}

// settings lists every key. The values are the fields of c, so that they can be set.
func settings(c *Config) []setting {
	var all []setting
	root := reflect.ValueOf(c).Elem()
	for i := range root.NumField() {
		section, name := root.Field(i), root.Type().Field(i).Tag.Get("toml")
		for j := range section.NumField() {
			tag := section.Type().Field(j).Tag
			all = append(all, setting{
				key: name + "." + tag.Get("toml"), value: section.Field(j),
				flag: tag.Get("flag") != "", usage: tag.Get("usage"),
			})
		}
	}
	return all
}

func settingKeys() []string {
	var keys []string
	for _, s := range settings(new(Config)) {
		keys = append(keys, s.key)
	}
	return keys
}

func findSetting(key string) (setting, bool) {
	for _, s := range settings(new(Config)) {
		if s.key == key {
			return s, true
		}
	}
	return setting{}, false
}

// env is the variable that sets the key: HOLDFAST_HTTP_LISTEN for http.listen.
func (s setting) env() string {
	return "HOLDFAST_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// flagName is the flag that sets the key: http-public-url for http.public_url.
func (s setting) flagName() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.key)
}

// want says which values are right, for after the word "want".
func (s setting) want() string {
	switch s.value.Interface().(type) {
	case Duration:
		return "a duration such as \"30m\", \"12h\" or \"30d\""
	case Size:
		return "a size such as \"512MiB\" or \"10GiB\", or a number of bytes"
	case []string:
		return "a list of strings"
	case bool:
		return "true or false"
	case int:
		return "a whole number"
	}
	return "a string"
}

// set reads a value of the environment or of a flag. Commas separate the items of a list,
// and an empty string is an empty list.
func (s setting) set(text string) error {
	if u, ok := s.value.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch p := s.value.Addr().Interface().(type) {
	case *[]string:
		*p = []string{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*p = append(*p, item)
			}
		}
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q: want %s", text, s.want())
		}
		*p = b
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q: want %s", text, s.want())
		}
		*p = n
	case *string:
		*p = text
	default:
		panic(fmt.Sprintf("the configuration has a field of type %T", p))
	}
	return nil
}

func (s setting) String() string {
	if list, ok := s.value.Interface().([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(s.value.Interface())
}

// settingFlag makes a setting a flag. It keeps the text, since the value is set later: after
// the file and the environment.
type settingFlag struct {
	setting
	text *string
}

func (f settingFlag) Set(text string) error {
	if err := f.set(text); err != nil {
		return err
	}
	*f.text = text
	return nil
}

func (f settingFlag) Type() string {
	switch f.value.Interface().(type) {
	case []string:
		return "list"
	case Size:
		return "size"
	}
	return f.value.Type().Name()
}

// IsBoolFlag makes pflag read --flag as --flag=true.
func (f settingFlag) IsBoolFlag() bool { return f.value.Kind() == reflect.Bool }

// AddConfigFlags adds a flag for each of the common keys.
func AddConfigFlags(flags *pflag.FlagSet) {
	shown := Default() // whose values are the flags' defaults
	for _, s := range settings(&shown) {
		if !s.flag {
			continue
		}
		f := flags.VarPF(settingFlag{s, new(string)}, s.flagName(), "", s.usage)
		if s.value.Kind() == reflect.Bool {
			f.NoOptDefVal = "true"
		}
	}
}

// Load reads the configuration: flags win over the environment, which wins over the file,
// which wins over the defaults. path "" is no file. flags may be nil. The caller logs the
// warnings. With an error, c has what was read before it.
func Load(path string, environ []string, flags *pflag.FlagSet) (c Config, warnings []string, err error) {
	c = Default()
	if warnings, err = overlayConfig(&c, path, environ, flags); err != nil {
		return c, nil, err
	}
	// Now the profile is known, and with it its defaults.
	if profile := c.Node.Profile; profile != profileDefault {
		c = Default()
		profileDefaults(&c, profile)
		if warnings, err = overlayConfig(&c, path, environ, flags); err != nil {
			return c, nil, err
		}
	}
	if err := c.Validate(); err != nil {
		return c, nil, err
	}
	return c, append(warnings, c.warnings()...), nil
}

// overlayConfig sets what the file, the environment and the flags set.
func overlayConfig(c *Config, path string, environ []string, flags *pflag.FlagSet) (warnings []string, err error) {
	if path != "" {
		if err := readConfigFile(path, c); err != nil {
			return nil, err
		}
	}
	warnings, err = readEnv(environ, c)
	if err != nil {
		return nil, err
	}
	for _, s := range settings(c) {
		if flags == nil {
			break
		}
		f := flags.Lookup(s.flagName())
		if f == nil || !f.Changed {
			continue
		}
		if err := s.set(*f.Value.(settingFlag).text); err != nil {
			return nil, fmt.Errorf("--%s: %w", f.Name, err)
		}
	}
	return warnings, nil
}

// readEnv overlays the HOLDFAST_SECTION_KEY variables. One that is not a setting gives a
// warning and not an error: Kubernetes sets such variables in a pod for every service whose
// name begins with holdfast.
func readEnv(environ []string, c *Config) (warnings []string, err error) {
	all := settings(c)
	byEnv := make(map[string]setting, len(all))
	names := make([]string, 0, len(all))
	for _, s := range all {
		byEnv[s.env()] = s
		names = append(names, s.env())
	}
	for _, kv := range environ {
		name, text, _ := strings.Cut(kv, "=")
		if s, ok := byEnv[name]; ok {
			if err := s.set(text); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		if !strings.HasPrefix(name, "HOLDFAST_") || slices.Contains([]string{EnvData, EnvConfig, EnvAPI, EnvToken}, name) {
			continue
		}
		warning := fmt.Sprintf("the variable %s is not a setting, and does nothing", name)
		if near := nearest(name, names); near != "" {
			warning += "; did you mean " + near + "?"
		}
		warnings = append(warnings, warning)
	}
	return warnings, nil
}

// Variables that are not keys of the configuration.
const (
	EnvData   = "HOLDFAST_DATA"   // the data directory, as --data
	EnvConfig = "HOLDFAST_CONFIG" // the TOML file, as --config
	EnvAPI    = "HOLDFAST_API"    // of commands: whose RPC they call, as --api
	EnvToken  = "HOLDFAST_TOKEN"  // of commands: the token for that
)

// LogConfigWarnings logs the warnings of Load.
func LogConfigWarnings(log *slog.Logger, warnings []string) {
	for _, w := range warnings {
		log.Warn(w)
	}
}
