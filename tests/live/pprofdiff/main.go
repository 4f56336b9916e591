// Compares whyrss pprof with google/pprof case by case, the reference within this process: tens of
// thousands of cases need no process and no start-up each. Reads cases as JSON lines on standard
// input; prints the numbers of those that differ, which may still be another of the reference's
// own answers: the test looks at them again.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/google/pprof/driver"
	inside "github.com/google/pprof/internal/driver"
	"github.com/google/pprof/profile"
)

type flags struct {
	*flag.FlagSet
	args []string
}

var errFlags = errors.New("flags")

func (f *flags) StringList(name, def, usage string) *[]*string {
	return &[]*string{f.String(name, def, usage)}
}
func (f *flags) ExtraUsage() string   { return "" }
func (f *flags) AddExtraUsage(string) {}
func (f *flags) Parse(func()) []string {
	if f.FlagSet.Parse(f.args) != nil {
		panic(errFlags)
	}
	return f.Args()
}

type ui struct{}

func (ui) ReadLine(string) (string, error)     { return "", io.EOF }
func (ui) Print(...interface{})                {}
func (ui) PrintErr(...interface{})             {}
func (ui) IsTerminal() bool                    { return false }
func (ui) WantBrowser() bool                   { return false }
func (ui) SetAutoComplete(func(string) string) {}

type writer struct{ bytes.Buffer }

func (w *writer) Open(string) (io.WriteCloser, error) { return w, nil }
func (w *writer) Close() error                        { return nil }

// What a call changes stays for the next one in the same process. No granularity is functions.
var defaults = map[string]string{"call_tree": "false", "relative_percentages": "false", "unit": "minimum", "compact_labels": "false", "source_path": "", "trim_path": "",
	"intel_syntax": "false", "mean": "false", "sample_index": "", "divide_by": "1", "normalize": "false", "sort": "flat", "tagroot": "", "tagleaf": "",
	"drop_negative": "false", "nodecount": "-1", "nodefraction": "0.005", "edgefraction": "0.001", "trim": "true", "focus": "", "ignore": "", "prune_from": "",
	"hide": "", "show": "", "show_from": "", "tagfocus": "", "tagignore": "", "tagshow": "", "taghide": "", "noinlines": "false", "showcolumns": "false", "functions": "true"}

func reference(args []string) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	for name, value := range defaults {
		inside.SetVariableDefault(name, value)
	}
	var w writer
	f := &flags{flag.NewFlagSet("pprof", flag.ContinueOnError), append([]string{"-output=x"}, args...)}
	f.SetOutput(io.Discard)
	err = driver.PProf(&driver.Options{Flagset: f, UI: ui{}, Writer: &w})
	return w.Bytes(), err
}

func decoded(b []byte) string {
	p, err := profile.ParseData(b)
	if err != nil {
		return err.Error()
	}
	return p.String()
}

func main() {
	whyrss := os.Args[1]
	in := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	for in.Scan() {
		var c struct {
			I    int
			Args []string
		}
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			panic(err)
		}
		want, wantErr := reference(c.Args)
		cmd := exec.Command(whyrss, append([]string{"pprof"}, c.Args...)...)
		got, gotErr := cmd.Output()
		same := (wantErr != nil) == (gotErr != nil) && (wantErr != nil || bytes.Equal(want, got))
		if !same && wantErr == nil && gotErr == nil && strings.HasSuffix(c.Args[1], "proto") {
			same = decoded(want) == decoded(got)
		}
		if same {
			fmt.Fprintf(out, "%d same\n", c.I)
		} else {
			fmt.Fprintf(out, "%d differs\n", c.I)
		}
		out.Flush()
	}
}
