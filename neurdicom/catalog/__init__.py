"""The catalog: what is known of every patient, study, series and instance, behind one port."""
