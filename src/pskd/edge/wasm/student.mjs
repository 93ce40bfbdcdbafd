// Loads student.wasm or student-int8.wasm, in a browser or in Node:
//   const student = await loadStudent(await (await fetch("student.wasm")).arrayBuffer());
//   const { logits, probabilities } = student.predict(window);  // Float32Array, x then y then z, in g
export async function loadStudent(bytes) {
  const { instance } = await WebAssembly.instantiate(bytes);
  const wasm = instance.exports;
  const memory = wasm.memory.buffer; // it never grows, so that views of it stay valid
  const samples = wasm.student_samples();
  const classes = wasm.student_classes();
  const input = new Float32Array(memory, wasm.student_input(), 3 * samples);
  const logits = new Float32Array(memory, wasm.student_logits(), classes);
  const probabilities = new Float32Array(memory, wasm.student_probabilities(), classes);
  const name = (number) => {
    const text = new Uint8Array(memory, wasm.student_class_name(number));
    return new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
  };
  return {
    samples,
    classNames: Array.from({ length: classes }, (_, number) => name(number)),
    predict(window) {
      if (window.length !== input.length)
        throw new RangeError(`a window has 3 x ${samples} values, not ${window.length}`);
      input.set(window);
      wasm.student_run();
      return { logits: logits.slice(), probabilities: probabilities.slice() };
    },
  };
}
