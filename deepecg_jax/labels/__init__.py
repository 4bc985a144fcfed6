"""The 77 findings and the maps from SCP-ECG and SNOMED CT."""
