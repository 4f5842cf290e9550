// Program hashes is what Argo Rollouts itself computes: the table of the Go types that it hashes, and the hashes.
//
//	hashes table    writes the fields of the types, in the order in which encoding/json writes them
//	hashes          answers questions, one JSON object a line: {"template": ...}, {"template": ..., "collisionCount": 1},
//	                {"steps": ...}, {"quantity": ...} or {"equal": [template, template]}
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/utils/conditions"
	"github.com/argoproj/argo-rollouts/utils/hash"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	kubejson "sigs.k8s.io/json"
)

type question struct {
	Template       json.RawMessage
	CollisionCount *int32
	Steps          json.RawMessage
	Quantity       json.RawMessage
	Equal          []json.RawMessage
}

type answer struct {
	Hash  string `json:"hash,omitempty"`
	Text  string `json:"text,omitempty"`
	Equal *bool  `json:"equal,omitempty"`
	Error string `json:"error,omitempty"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "table" {
		writeTable(os.Stdout)
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		given, err := reply(asked)
		if err != nil {
			given = answer{Error: err.Error()}
		}
		if err := answers.Encode(given); err != nil {
			panic(err)
		}
	}
	if err := lines.Err(); err != nil {
		panic(err)
	}
}

func reply(asked question) (answer, error) {
	switch {
	case asked.Steps != nil:
		return steps(asked.Steps)
	case asked.Quantity != nil:
		var amount resource.Quantity
		if err := decode(asked.Quantity, &amount); err != nil {
			return answer{}, err
		}
		text, err := json.Marshal(amount)
		return answer{Text: string(text)}, err
	case asked.Equal != nil:
		var left, right corev1.PodTemplateSpec
		if err := decode(asked.Equal[0], &left); err != nil {
			return answer{}, err
		}
		if err := decode(asked.Equal[1], &right); err != nil {
			return answer{}, err
		}
		equal := equality.Semantic.DeepEqual(left, right)
		return answer{Equal: &equal}, nil
	default:
		var template corev1.PodTemplateSpec
		if err := decode(asked.Template, &template); err != nil {
			return answer{}, err
		}
		text, err := json.Marshal(template)
		return answer{Hash: hash.ComputePodTemplateHash(&template, asked.CollisionCount), Text: string(text)}, err
	}
}

func steps(given json.RawMessage) (answer, error) {
	rollout := v1alpha1.Rollout{Spec: v1alpha1.RolloutSpec{Strategy: v1alpha1.RolloutStrategy{Canary: &v1alpha1.CanaryStrategy{}}}}
	if err := decode(given, &rollout.Spec.Strategy.Canary.Steps); err != nil {
		return answer{}, err
	}
	text, err := json.Marshal(rollout.Spec.Strategy.Canary.Steps)
	return answer{Hash: conditions.ComputeStepHash(&rollout), Text: string(text)}, err
}

// decode reads a value as Argo's controller has it: as its client reads it from the API server, then through the Go types
// once more.
func decode[T any](given json.RawMessage, into *T) error {
	var first T
	if err := kubejson.UnmarshalCaseSensitivePreserveInts(given, &first); err != nil {
		return err
	}
	text, err := json.Marshal(first)
	if err != nil {
		return fmt.Errorf("again: %w", err)
	}
	return json.Unmarshal(text, into)
}
