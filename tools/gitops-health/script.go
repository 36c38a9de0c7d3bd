package main

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// longest is how long Argo CD lets a script run.
const longest = time.Second

// byScript runs a script as Argo CD does by default: the base and table libraries, require("os")
// with time and date alone, and the object as the global obj. There is no string library.
func byScript(name, text string) (Judge, error) {
	return func(object Object) (any, error) {
		state := lua.NewState(lua.Options{SkipOpenLibs: true})
		defer state.Close()
		for library, open := range map[string]lua.LGFunction{
			lua.LoadLibName: lua.OpenPackage,
			lua.BaseLibName: lua.OpenBase,
			lua.TabLibName:  lua.OpenTable,
		} {
			call := lua.P{Fn: state.NewFunction(open), Protect: true}
			if err := state.CallByParam(call, lua.LString(library)); err != nil {
				return nil, err
			}
		}
		state.PreloadModule(lua.OsLibName, safeOs)
		ended, cancel := context.WithTimeout(context.Background(), longest)
		defer cancel()
		state.SetContext(ended)
		state.SetGlobal("obj", toLua(state, object))
		if err := state.DoString(text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		value := state.Get(-1)
		if value.Type() != lua.LTTable {
			return nil, fmt.Errorf("%s: expected a table, it returned %s", name, value.Type())
		}
		return fromLua(value), nil
	}, nil
}

func safeOs(state *lua.LState) int {
	state.Push(state.SetFuncs(state.NewTable(), map[string]lua.LGFunction{
		"time": func(l *lua.LState) int {
			l.Push(lua.LNumber(time.Now().Unix()))
			return 1
		},
		"date": func(l *lua.LState) int {
			if form := l.CheckString(1); form != "!%Y-%m-%dT%XZ" {
				l.ArgError(1, "only !%Y-%m-%dT%XZ is known here: "+form)
			}
			l.Push(lua.LString(time.Now().UTC().Format("2006-01-02T15:04:05Z")))
			return 1
		},
	}))
	return 1
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch known := value.(type) {
	case bool:
		return lua.LBool(known)
	case float64:
		return lua.LNumber(known)
	case int64:
		return lua.LNumber(known)
	case string:
		return lua.LString(known)
	case []any:
		table := state.NewTable()
		for _, one := range known {
			table.Append(toLua(state, one))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, one := range known {
			table.RawSetString(key, toLua(state, one))
		}
		return table
	}
	return lua.LNil
}

// fromLua: an empty table is an empty list, for Lua does not tell it from an empty map.
func fromLua(value lua.LValue) any {
	table, is := value.(*lua.LTable)
	if !is {
		switch known := value.(type) {
		case lua.LBool:
			return bool(known)
		case lua.LNumber:
			return float64(known)
		case lua.LString:
			return string(known)
		}
		return nil
	}
	list := []any{}
	object := map[string]any{}
	table.ForEach(func(key, one lua.LValue) {
		if key.Type() == lua.LTNumber {
			list = append(list, fromLua(one))
		} else {
			object[key.String()] = fromLua(one)
		}
	})
	if len(object) > 0 {
		return object
	}
	return list
}
