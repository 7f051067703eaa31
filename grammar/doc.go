// Package grammar is the crm language: it turns text into statements with
// positions, statements into edits of a CIB, and a CIB back into canonical
// text.
//
//	script text ──[ReadScript]──▶ [Line]s of [Word]s
//	a line      ──[Parse]──────▶ [Statement] (typed tree, one type per verb)
//	a statement ──[Edit.Apply]─▶ elements of a CIB, ids generated
//	a CIB       ──[Print]──────▶ canonical text, what "configure show" prints
//	a text      ──[Load]───────▶ a whole CIB update, all or nothing
//
// [Expect] tells what could stand at a place; error messages and the shell's
// completion both ask it, and it reads the same grammar that parses.
//
// Callers are the shell (commands, completion, show, edit, load, save) and
// whoever wants CIB differences as text. The package performs no I/O.
//
// There are two readers with slightly different rules, see [Mode]. Every
// mistake is an [Error] with file, line and column; a function that reads
// many statements reports all mistakes, not the first.
package grammar
