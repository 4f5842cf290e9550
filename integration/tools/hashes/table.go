package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// scalars are the types that write themselves.
var scalars = map[reflect.Type]string{
	reflect.TypeFor[resource.Quantity]():  "Quantity",
	reflect.TypeFor[intstr.IntOrString](): "IntOrString",
	reflect.TypeFor[metav1.Time]():        "Time",
	reflect.TypeFor[metav1.FieldsV1]():    "Raw",
	reflect.TypeFor[json.RawMessage]():    "Raw",
}

type field struct{ name, kind string }

// table has the fields of each struct by the name of its type, in order.
type table map[string][]field

// writeTable writes an object with a table for pod templates and one for steps. A field's name ends with `?` when
// encoding/json leaves out its zero value.
func writeTable(to io.Writer) {
	template, steps := table{}, table{}
	template.add(reflect.TypeFor[corev1.PodTemplateSpec]())
	steps.add(reflect.TypeFor[v1alpha1.CanaryStep]())
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(map[string]table{"template": template, "steps": steps}); err != nil {
		panic(err)
	}
}

func (fields table) add(of reflect.Type) {
	if _, known := fields[of.Name()]; known {
		return
	}
	fields[of.Name()] = nil
	listed := fields.list(of)
	seen := map[string]bool{}
	for _, one := range listed {
		name := strings.TrimSuffix(one.name, "?")
		if seen[name] {
			panic(fmt.Sprintf("%s has two fields %s", of, name))
		}
		seen[name] = true
	}
	fields[of.Name()] = listed
}

// list returns the fields of a struct with those of the structs that are embedded in it where they stand.
func (fields table) list(of reflect.Type) []field {
	var listed []field
	for i := range of.NumField() {
		one := of.Field(i)
		name, options, _ := strings.Cut(one.Tag.Get("json"), ",")
		switch {
		case name == "-" || !one.IsExported():
		case one.Anonymous && name == "":
			listed = append(listed, fields.list(one.Type)...)
		case name == "":
			panic(fmt.Sprintf("%s.%s has no name in JSON", of, one.Name))
		default:
			listed = append(listed, field{name + optional(one, options), fields.kind(one.Type)})
		}
	}
	return listed
}

// optional returns `?` for a field that is left out when it is zero: omitempty says nothing about a struct.
func optional(one reflect.StructField, options string) string {
	for _, option := range strings.Split(options, ",") {
		isStruct := one.Type.Kind() == reflect.Struct
		switch {
		case option == "omitempty" && !isStruct, option == "omitzero" && one.Type == reflect.TypeFor[metav1.Time]():
			return "?"
		case option == "omitzero" || option == "string":
			panic(fmt.Sprintf("the table cannot say %s of %s", option, one.Name))
		}
	}
	return ""
}

// kind returns the name of a type as Go writes it, without packages, and adds the structs that it reaches.
func (fields table) kind(of reflect.Type) string {
	if name, known := scalars[of]; known {
		return name
	}
	switch of.Kind() {
	case reflect.Pointer:
		return "*" + fields.kind(of.Elem())
	case reflect.Slice:
		return "[]" + fields.kind(of.Elem())
	case reflect.Map:
		return "map:" + fields.kind(of.Elem())
	case reflect.Struct:
		if reflect.PointerTo(of).Implements(reflect.TypeFor[json.Marshaler]()) {
			panic(fmt.Sprintf("%s writes itself in a way that is not known", of))
		}
		fields.add(of)
		return of.Name()
	case reflect.String, reflect.Bool, reflect.Int32, reflect.Int64:
		return of.Kind().String()
	default:
		panic(fmt.Sprintf("%s is of a kind that is not known", of))
	}
}

// MarshalJSON keeps the order of the fields.
func (fields table) MarshalJSON() ([]byte, error) {
	ordered := map[string]json.RawMessage{}
	for name, listed := range fields {
		var text bytes.Buffer
		for i, one := range listed {
			if i > 0 {
				text.WriteByte(',')
			}
			fmt.Fprintf(&text, "%q:%q", one.name, one.kind)
		}
		ordered[name] = json.RawMessage("{" + text.String() + "}")
	}
	return json.Marshal(ordered)
}
