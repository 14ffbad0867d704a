// Command containers reads a Containerfile and a Compose file as the programs that build and
// run them do, and prints the environment of the server in them, a variable a line.
//
//	containers CONTAINERFILE COMPOSEFILE
//
// It is for machines without a container runtime. An unknown instruction, flag or key is an
// error, and so is an image that does not run by itself as an ordinary user.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: containers CONTAINERFILE COMPOSEFILE")
		os.Exit(2)
	}
	env := make(map[string]string)
	if err := errors.Join(readContainerfile(os.Args[1], env), readCompose(os.Args[2], env)); err != nil {
		fmt.Fprintln(os.Stderr, "containers:", err)
		os.Exit(1)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Println(name + "=" + env[name])
	}
}

// readContainerfile checks the last image of the file, and adds the environment of it to env.
func readContainerfile(path string, env map[string]string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tree, err := parser.Parse(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for _, w := range tree.Warnings {
		return fmt.Errorf("%s: %s", path, w.Short)
	}
	stages, _, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	last := stages[len(stages)-1]
	user, entry := "", false
	for _, command := range last.Commands {
		switch c := command.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entry = !c.PrependShell // there is no shell
		case *instructions.EnvCommand:
			for _, v := range c.Env {
				env[v.Key] = v.Value
			}
		}
	}
	if last.BaseName != "scratch" || user == "" || user == "0" || user == "root" || !entry {
		return fmt.Errorf("%s: the image is based on %q, its user is %q, and its entry needs no shell: %v", path, last.BaseName, user, entry)
	}
	return nil
}

// readCompose checks the file, and adds the environment of the service "holdfast" to env.
func readCompose(path string, env map[string]string) error {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithName("holdfast"), cli.WithOsEnv)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type != "bind" {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				return fmt.Errorf("%s: the service %s needs a file that is missing: %w", path, name, err)
			}
		}
	}
	for key, value := range project.Services["holdfast"].Environment {
		if value != nil {
			env[key] = *value
		}
	}
	if build := project.Services["holdfast"].Build; build == nil {
		return fmt.Errorf("%s: nothing builds the image of the service holdfast", path)
	} else if _, err := os.Stat(build.Context + "/" + build.Dockerfile); err != nil {
		return fmt.Errorf("%s: the image of holdfast: %w", path, err)
	}
	return nil
}
