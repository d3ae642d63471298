"""The level that each attribute describes, by the modules of patient, study and series (PS3.3 C.7.1 to C.7.5)."""

from neurdicom.dicom.codec.dictionary import tag_of
from neurdicom.dicom.query.attributes import ATTRIBUTES, Level

_KEYWORDS: dict[Level, str] = {
    Level.PATIENT: """
        IssuerOfPatientIDQualifiersSequence TypeOfPatientID PatientBirthTime PatientBirthDateInAlternativeCalendar
        PatientDeathDateInAlternativeCalendar PatientAlternativeCalendar QualityControlSubject ReferencedPatientSequence
        OtherPatientIDsSequence OtherPatientNames PatientBirthName PatientMotherBirthName EthnicGroupCodeSequence
        PatientReligiousPreference PatientInsurancePlanCodeSequence PatientPrimaryLanguageCodeSequence MilitaryRank
        BranchOfService PatientAddress PatientTelephoneNumbers CountryOfResidence RegionOfResidence
        PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence PatientSpeciesDescription
        PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence BreedRegistrationSequence
        ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization SourcePatientGroupIdentificationSequence
        ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID
        ClinicalTrialSiteName ClinicalTrialSubjectID ClinicalTrialSubjectReadingID
        NumberOfPatientRelatedStudies NumberOfPatientRelatedSeries NumberOfPatientRelatedInstances InstanceAvailability
    """,
    Level.STUDY: """
        IssuerOfAccessionNumberSequence PhysiciansOfRecord
        PhysiciansOfRecordIdentificationSequence PhysiciansReadingStudyIdentificationSequence
        ReferringPhysicianIdentificationSequence ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers
        ConsultingPhysicianName RequestingService RequestingServiceCodeSequence RequestingPhysician
        RequestedProcedureDescription RequestedProcedureCodeSequence ReferencedStudySequence ProcedureCodeSequence
        ReasonForPerformedProcedureCodeSequence AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence
        PatientSizeCodeSequence PatientBodyMassIndex MedicalAlerts Allergies SmokingStatus PregnancyStatus
        LastMenstrualDate PatientState Occupation AdditionalPatientHistory AdmissionID IssuerOfAdmissionIDSequence
        ServiceEpisodeID ServiceEpisodeDescription PatientSexNeutered ReasonForVisit ClinicalTrialTimePointID
        ClinicalTrialTimePointDescription
        NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances ModalitiesInStudy SOPClassesInStudy
    """,
    Level.SERIES: """
        PerformingPhysicianIdentificationSequence OperatorIdentificationSequence SeriesDescriptionCodeSequence
        ReferencedPerformedProcedureStepSequence RelatedSeriesSequence AnatomicalOrientationType
        SmallestPixelValueInSeries LargestPixelValueInSeries RequestAttributesSequence PerformedProcedureStepID
        PerformedProcedureStepDescription PerformedProcedureStepEndDate PerformedProcedureStepEndTime
        PerformedProtocolCodeSequence CommentsOnThePerformedProcedureStep TreatmentSessionUID InstitutionAddress
        InstitutionalDepartmentName InstitutionalDepartmentTypeCodeSequence InstitutionCodeSequence DeviceSerialNumber
        SoftwareVersions GantryID SpatialResolution DateOfLastCalibration TimeOfLastCalibration PixelPaddingValue
        DeviceUID UDISequence ManufacturerDeviceClassUID PositionReferenceIndicator SynchronizationFrameOfReferenceUID
        ClinicalTrialCoordinatingCenterName ClinicalTrialSeriesID ClinicalTrialSeriesDescription
        NumberOfSeriesRelatedInstances
    """,
}

_LEVELS: dict[str, Level] = {
    **{tag_of(keyword): level for level, text in _KEYWORDS.items() for keyword in text.split()},
    **{tag_of(attribute.keyword): attribute.level for attribute in ATTRIBUTES},
}


def level_of(tag: str) -> Level:
    """Look up the level that an attribute describes; unlisted attributes describe the instance."""
    return _LEVELS.get(tag, Level.INSTANCE)
