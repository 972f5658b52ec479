# check.py LANGUAGE FILE: where the file is no text of the language, with exit code 1.
import importlib
import sys
from tree_sitter import Language, Parser

name, file = sys.argv[1:]
module = importlib.import_module("tree_sitter_" + name)
grammar = module.language_php() if name == "php" else module.language()
wrong = False
todo = [Parser(Language(grammar)).parse(open(file, "rb").read()).root_node]
while todo:
    node = todo.pop()
    if node.is_error or node.is_missing:
        line, column = node.start_point
        print(f"{line + 1}:{column + 1}: {node.type}")
        wrong = True
    todo += node.children
sys.exit(wrong)
