"""Students: instance segmenters behind one small interface (`student.Student`)."""
