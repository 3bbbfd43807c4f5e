// Command health says what GitOps tools make of objects: kstatus, by which Flux and others wait; a health check of Argo CD, which is a
// script in Lua; and a health check of Flux, which is expressions in CEL. It reads a request in JSON and writes a list of verdicts in JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type request struct {
	Objects []unstructured.Unstructured `json:"objects"`
	// By kind, of Argo CD.
	Scripts map[string]string `json:"scripts"`
	// By kind, of Flux. A kind without expressions is judged by kstatus there.
	Expressions map[string]kustomize.HealthCheckExpressions `json:"expressions"`
}

type verdict struct {
	Kstatus string `json:"kstatus"`
	ArgoCD  health `json:"argoCD"`
	Flux    string `json:"flux"`
}

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var asked request
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return err
	}
	evaluators := map[string]*cel.StatusEvaluator{}
	for kind, expressions := range asked.Expressions {
		evaluator, err := cel.NewStatusEvaluator(&expressions)
		if err != nil {
			return fmt.Errorf("expressions of %s: %w", kind, err)
		}
		evaluators[kind] = evaluator
	}
	verdicts := []verdict{}
	for i := range asked.Objects {
		object := &asked.Objects[i]
		kind := object.GetKind()
		one, err := judge(object, asked.Scripts[kind], evaluators[kind])
		if err != nil {
			return fmt.Errorf("%s %s: %w", kind, object.GetName(), err)
		}
		verdicts = append(verdicts, one)
	}
	return json.NewEncoder(out).Encode(verdicts)
}

func judge(object *unstructured.Unstructured, script string, evaluator *cel.StatusEvaluator) (verdict, error) {
	computed, err := status.Compute(object)
	if err != nil {
		return verdict{}, err
	}
	argoCD, err := runScript(object, script)
	if err != nil {
		return verdict{}, err
	}
	one := verdict{Kstatus: computed.Status.String(), ArgoCD: argoCD, Flux: computed.Status.String()}
	if evaluator != nil {
		evaluated, err := evaluator.Evaluate(context.Background(), object)
		if err != nil {
			return verdict{}, err
		}
		one.Flux = evaluated.Status.String()
	}
	return one, nil
}

// runScript gives the script no more than Argo CD does: the object, the basic functions and those for tables, and one second.
func runScript(object *unstructured.Unstructured, script string) (health, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		call := lua.P{Fn: state.NewFunction(open), Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return health{}, err
		}
	}
	limited, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(limited)
	state.SetGlobal("obj", valueOf(state, object.Object))
	if err := state.DoString(script); err != nil {
		return health{}, err
	}
	answer, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return health{}, errors.New("the script returns no table")
	}
	found, message := answer.RawGetString("status"), answer.RawGetString("message")
	if found.Type() != lua.LTString || message.Type() != lua.LTString {
		return health{}, fmt.Errorf("the script returns the status %s and the message %s", found, message)
	}
	return health{Status: found.String(), Message: message.String()}, nil
}

func valueOf(state *lua.LState, value any) lua.LValue {
	switch given := value.(type) {
	case bool:
		return lua.LBool(given)
	case int64:
		return lua.LNumber(given)
	case float64:
		return lua.LNumber(given)
	case string:
		return lua.LString(given)
	case []any:
		list := state.NewTable()
		for _, item := range given {
			list.Append(valueOf(state, item))
		}
		return list
	case map[string]any:
		fields := state.NewTable()
		for name, field := range given {
			fields.RawSetString(name, valueOf(state, field))
		}
		return fields
	default:
		return lua.LNil
	}
}
