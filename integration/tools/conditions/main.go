// Program conditions decides conditions with Argo Rollouts' own code.
//
// It answers questions, one JSON object a line: {"condition": ..., "result": ..., "type": ...}. The type is that of the
// result in Go: "float" and "floats" are those of Prometheus; without it the result is what encoding/json reads.
package main

import (
	"bufio"
	"encoding/json"
	"math"
	"os"

	"github.com/argoproj/argo-rollouts/utils/evaluate"
)

type question struct {
	Condition string
	Result    json.RawMessage
	Type      string
}

type answer struct {
	Decision *bool  `json:"decision,omitempty"`
	Error    string `json:"error,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		result, err := value(asked)
		if err != nil {
			panic(err)
		}
		var given answer
		if decision, err := evaluate.EvalCondition(result, asked.Condition); err != nil {
			given.Error = err.Error()
		} else {
			given.Decision = &decision
		}
		if err := answers.Encode(given); err != nil {
			panic(err)
		}
	}
	if err := lines.Err(); err != nil {
		panic(err)
	}
}

func value(asked question) (any, error) {
	switch asked.Type {
	case "float":
		var read any
		err := json.Unmarshal(asked.Result, &read)
		return float(read), err
	case "floats":
		var read []any
		err := json.Unmarshal(asked.Result, &read)
		floats := make([]float64, 0, len(read))
		for _, each := range read {
			floats = append(floats, float(each))
		}
		return floats, err
	default:
		var read any
		err := json.Unmarshal(asked.Result, &read)
		return read, err
	}
}

// float reads a number, and the texts that stand for those that JSON lacks.
func float(read any) float64 {
	switch read {
	case "NaN":
		return math.NaN()
	case "+Inf":
		return math.Inf(1)
	case "-Inf":
		return math.Inf(-1)
	}
	return read.(float64)
}
