// Command gitops-health says what GitOps tools make of objects: it reads a YAML or JSON stream and
// prints one JSON document a line for each object, in order.
//
//	gitops-health kstatus < OBJECTS        status and message by kstatus, as Flux asks it
//	gitops-health cel EXPRS < OBJECTS      status by a file of Flux's health check expressions
//	gitops-health lua SCRIPT < OBJECTS     what a script returns in Argo CD's interpreter
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
)

// Object is a Kubernetes object as JSON has it.
type Object = map[string]any

// Answer is what a health check says of one object.
type Answer struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

// Judge answers for one object.
type Judge func(Object) (any, error)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	judge, err := judgeFor(args)
	if err != nil {
		return err
	}
	documents := yaml.NewYAMLOrJSONDecoder(bufio.NewReader(in), 4096)
	lines := json.NewEncoder(out)
	for {
		var text json.RawMessage
		if err := documents.Decode(&text); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("the objects cannot be read: %w", err)
		}
		object := Object{}
		// As a client reads them: whole numbers are int64.
		if err := utiljson.Unmarshal(text, &object); err != nil {
			return fmt.Errorf("expected an object: %w", err)
		}
		if len(object) == 0 {
			continue
		}
		answer, err := judge(object)
		if err != nil {
			return err
		}
		if err := lines.Encode(answer); err != nil {
			return err
		}
	}
}

func judgeFor(args []string) (Judge, error) {
	if len(args) == 1 && args[0] == "kstatus" {
		return byKstatus, nil
	}
	if len(args) != 2 || (args[0] != "cel" && args[0] != "lua") {
		return nil, errors.New("expected: gitops-health kstatus | cel EXPRS | lua SCRIPT")
	}
	text, err := os.ReadFile(args[1])
	if err != nil {
		return nil, err
	}
	if args[0] == "lua" {
		return byScript(args[1], string(text))
	}
	return byExpressions(text)
}

func byKstatus(object Object) (any, error) {
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		return nil, fmt.Errorf("kstatus: %w", err)
	}
	return Answer{string(result.Status), result.Message}, nil
}

// byExpressions: what cannot be evaluated, as a field that is not there, is Unknown, and Flux goes on
// waiting.
func byExpressions(text []byte) (Judge, error) {
	var given kustomize.HealthCheckExpressions
	if err := sigsyaml.UnmarshalStrict(text, &given); err != nil {
		return nil, fmt.Errorf("the expressions cannot be read: %w", err)
	}
	evaluator, err := cel.NewStatusEvaluator(&given)
	if err != nil {
		return nil, err
	}
	return func(object Object) (any, error) {
		result, err := evaluator.Evaluate(context.Background(), &unstructured.Unstructured{Object: object})
		if err != nil {
			return Answer{string(status.UnknownStatus), err.Error()}, nil
		}
		return Answer{string(result.Status), result.Message}, nil
	}, nil
}
