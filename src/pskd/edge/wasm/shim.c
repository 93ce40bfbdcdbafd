/* What a host without a C compiler calls: the student with memory of its own, all of it static. */
#include "student.h"

#define EXPORT(name) __attribute__((export_name(#name))) name

static student_workspace workspace;
static float input[STUDENT_CHANNELS * STUDENT_SAMPLES];
static float logits[STUDENT_CLASSES], probabilities[STUDENT_CLASSES];

float *EXPORT(student_input)(void) { return input; }
float *EXPORT(student_logits)(void) { return logits; }
float *EXPORT(student_probabilities)(void) { return probabilities; }
int EXPORT(student_samples)(void) { return STUDENT_SAMPLES; }
int EXPORT(student_classes)(void) { return STUDENT_CLASSES; }
const char *EXPORT(student_class_name)(int number) { return student_class_names[number]; }

void EXPORT(student_run)(void)
{
    student_predict(&workspace, input, logits, probabilities);
}
