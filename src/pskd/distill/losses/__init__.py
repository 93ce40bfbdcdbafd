"""One loss a file, named as its paper names it: tensors in, one value a clip out."""
