//go:build ignore

// What the source of the toolchain that builds this says about the runtime's types, by go/types. Run by
// tools/check-fields; reads rows "ID TYPE PATHS" separated by tabs, as fields.def has them, and answers
// "ID OFFSET WIDTH TYPE", width 0 where no path exists. GOEXPERIMENT counts at run time.
package main

import (
	"bufio"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"os"
	"strconv"
	"strings"
)

// sizes are those of the compiler on amd64: types.SizesFor had structs without their padding at the end until 1.20.
type sizes struct{}

func (z sizes) Alignof(t types.Type) int64 {
	switch u := t.Underlying().(type) {
	case *types.Array:
		return z.Alignof(u.Elem())
	case *types.Struct:
		most := int64(1)
		for i := 0; i < u.NumFields(); i++ {
			if a := z.Alignof(u.Field(i).Type()); a > most {
				most = a
			}
		}
		return most
	case *types.Basic:
		if n := std.Sizeof(t); n < 8 {
			return n
		}
	}
	return 8
}

func (z sizes) Offsetsof(fields []*types.Var) []int64 {
	offsets := make([]int64, len(fields))
	at := int64(0)
	for i, f := range fields {
		at = up(at, z.Alignof(f.Type()))
		offsets[i] = at
		at += z.Sizeof(f.Type())
	}
	return offsets
}

func (z sizes) Sizeof(t types.Type) int64 {
	switch u := t.Underlying().(type) {
	case *types.Array:
		return u.Len() * z.Sizeof(u.Elem())
	case *types.Struct:
		fields := make([]*types.Var, u.NumFields())
		for i := range fields {
			fields[i] = u.Field(i)
		}
		if len(fields) == 0 {
			return 0
		}
		last := len(fields) - 1
		begin, size := z.Offsetsof(fields)[last], z.Sizeof(fields[last].Type())
		if size == 0 && begin > 0 { // so that a pointer to it stays inside
			size = 1
		}
		return up(begin+size, z.Alignof(t))
	}
	return std.Sizeof(t)
}

func up(n, align int64) int64 { return (n + align - 1) / align * align }

var (
	std    = types.SizesFor("gc", "amd64")
	layout = sizes{}
	source = importer.ForCompiler(token.NewFileSet(), "source", nil)
)

// named finds "pkg/path.Name": a type, or with "var:" a variable's type.
func named(what string) types.Type {
	name := strings.TrimPrefix(what, "var:")
	dot := strings.LastIndex(name, ".")
	pkg, err := source.Import(name[:dot])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	switch o := pkg.Scope().Lookup(name[dot+1:]).(type) {
	case *types.TypeName:
		if name == what {
			return o.Type()
		}
	case *types.Var:
		if name != what {
			return o.Type()
		}
	}
	return nil
}

// at follows a path such as "pages.scav.index" or "[0].item.span"; ok is false where it leads nowhere.
func at(t types.Type, path string) (off int64, ret types.Type, ok bool) {
	for path != "" {
		if path[0] == '[' {
			end := strings.IndexByte(path, ']')
			i, err := strconv.ParseInt(path[1:end], 10, 64)
			a, isArray := t.Underlying().(*types.Array)
			if err != nil || !isArray || i >= a.Len() {
				return 0, nil, false
			}
			t, path = a.Elem(), strings.TrimPrefix(path[end+1:], ".")
			off += i * layout.Sizeof(t)
			continue
		}
		name := path
		if i := strings.IndexAny(path, ".["); i >= 0 {
			name = path[:i]
		}
		path = strings.TrimPrefix(path[len(name):], ".")
		s, isStruct := t.Underlying().(*types.Struct)
		if !isStruct {
			return 0, nil, false
		}
		var fields []*types.Var
		found := -1
		for i := 0; i < s.NumFields(); i++ {
			fields = append(fields, s.Field(i))
			if s.Field(i).Name() == name {
				found = i
			}
		}
		if found < 0 {
			return 0, nil, false
		}
		off += layout.Offsetsof(fields)[found]
		t = fields[found].Type()
	}
	return off, t, true
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		row := strings.Split(in.Text(), "\t")
		t := named(row[1])
		off, width, said := int64(0), int64(0), "-"
		for _, path := range strings.Split(row[2], "|") {
			if t == nil {
				break
			}
			if o, f, ok := at(t, path); ok {
				off, width, said = o, layout.Sizeof(f), f.String()
				break
			}
		}
		fmt.Printf("%s\t%d\t%d\t%s\n", row[0], off, width, strings.Join(strings.Fields(said), " "))
	}
}
