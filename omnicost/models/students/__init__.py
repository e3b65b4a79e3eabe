"""Students: instance segmenters behind one small interface (`interface.Student`)."""
